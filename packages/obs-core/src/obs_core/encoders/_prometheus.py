"""Metrics in the Prometheus text format 0.0.4."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Final

from .._records import MetricFamily, MetricMetadata, MetricSample
from .._series_keys import safe_labels, safe_name, series_key
from ._openmetrics import openmetrics_text
from ._streams import each
from ._values import sample_lines

CONTENT_TYPE_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_TYPES: Final = {"info": "gauge", "unknown": "untyped"}
_ENDINGS: Final = ("_bucket", "_sum", "_count")

_Order = tuple[tuple[tuple[str, str], ...], int, float]
_Series = tuple[str, frozenset[tuple[str, str]]]


def exposition(families: Iterable[MetricFamily], *, openmetrics: bool = False) -> bytes:
    """The text of these families, each with HELP and TYPE once. Families without a series are left out.

    With `openmetrics` in OpenMetrics 1.0, which has exemplars, units and the time of creation too.
    """
    if openmetrics:
        return openmetrics_text(families)
    parts: list[str] = []
    for family in families:
        if family.keys:
            parts += (_head(family.metadata), sample_lines(family.keys, family.values))
    return "".join(parts).encode("utf-8", "replace")


async def encode_prometheus(
    items: AsyncIterable[MetricMetadata | MetricSample] | Iterable[MetricMetadata | MetricSample],
) -> AsyncIterator[bytes]:
    """Stream a chunk for each family: each `MetricMetadata` is followed by its samples, without one they are untyped.

    Of several times of a series the latest is given, without its timestamp, and of several metadata the
    last. Families are contiguous: all is read before the first chunk.
    """
    metadata: dict[str, MetricMetadata] = {}
    latest: dict[str, dict[_Series, MetricSample]] = {}
    order: dict[str, None] = {}  # of metadata and of samples, by the names they came with
    async for item in each(items):
        order[item.name] = None
        if isinstance(item, MetricMetadata):
            metadata[item.name] = item
            continue
        series = latest.setdefault(item.name, {})
        key = item.name, frozenset(item.labels.items())
        known = series.get(key)
        if known is None or item.timestamp >= known.timestamp:
            series[key] = item
    metadata = _apart(metadata)
    owners = _owners(metadata.values())
    for name in dict.fromkeys(owners.get(name, name) for name in order):
        family = metadata.get(name, MetricMetadata(name))
        samples = [
            one
            for own in _sample_names(family)
            if owners.get(own, own) == name
            for one in latest.get(own, {}).values()
        ]
        if samples:
            yield exposition([_family(family, samples)])


def _apart(metadata: Mapping[str, MetricMetadata]) -> dict[str, MetricMetadata]:
    """The same, where no two are exposed under one name: the second of them is of an unknown kind."""
    apart: dict[str, MetricMetadata] = {}
    taken = set(metadata)
    for name, one in metadata.items():
        exposed = _exposed(one)
        clash = exposed != name and exposed in taken
        apart[name] = MetricMetadata(name, "unknown", one.help) if clash else one
        taken.add(exposed)
    return apart


def _owners(metadata: Iterable[MetricMetadata]) -> dict[str, str]:
    """The family of each sample name; where two could have it, that of the very name or else the first."""
    owners: dict[str, str] = {}
    for one in metadata:
        for name in _sample_names(one):
            owners.setdefault(name, one.name)
    return owners | {one.name: one.name for one in metadata}


def _sample_names(metadata: MetricMetadata) -> Sequence[str]:
    name = metadata.name
    if metadata.kind == "histogram":
        return [name + ending for ending in _ENDINGS]
    return list(dict.fromkeys((name, _exposed(metadata))))


def _family(metadata: MetricMetadata, samples: Sequence[MetricSample]) -> MetricFamily:
    if metadata.kind == "histogram":
        samples = sorted(samples, key=_histogram_order(metadata.name))
    # A counter's samples may come with `_total` or without: they are one series, and the later value counts.
    values: dict[str, MetricSample] = {}
    for sample in samples:
        name = sample.name if metadata.kind == "histogram" else _exposed(metadata)
        key = series_key(safe_name(name), safe_labels(sample.labels))
        if key not in values or sample.timestamp >= values[key].timestamp:
            values[key] = sample
    return MetricFamily(metadata, list(values), [float(sample.value) for sample in values.values()])


def _histogram_order(name: str) -> Callable[[MetricSample], _Order]:
    def order(sample: MetricSample) -> _Order:
        labels = tuple(sorted((label, value) for label, value in sample.labels.items() if label != "le"))
        return labels, _ENDINGS.index(sample.name.removeprefix(name)), _bound(sample.labels.get("le", ""))

    return order


def _bound(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return inf


def _exposed(metadata: MetricMetadata) -> str:
    """The name in HELP and TYPE: in this format a counter's has its `_total`, an info's its `_info`."""
    if metadata.kind == "counter":
        return f"{metadata.name.removesuffix('_total')}_total"
    return f"{metadata.name.removesuffix('_info')}_info" if metadata.kind == "info" else metadata.name


def _head(metadata: MetricMetadata) -> str:
    name, kind = safe_name(_exposed(metadata)), _TYPES.get(metadata.kind, metadata.kind)
    help_text = metadata.help.replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {name} {help_text}\n# TYPE {name} {kind}\n"
