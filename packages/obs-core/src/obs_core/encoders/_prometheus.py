"""Metrics in the Prometheus text format 0.0.4."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from math import inf
from typing import Final

from .._records import MetricFamily, MetricMetadata, MetricSample
from ._series import series_key
from ._streams import each

CONTENT_TYPE_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_TYPES: Final = {"info": "gauge", "unknown": "untyped"}
_ENDINGS: Final = ("_bucket", "_sum", "_count")

_Order = tuple[tuple[tuple[str, str], ...], int, float]


def exposition(families: Iterable[MetricFamily]) -> bytes:
    """The text of these families, each with HELP and TYPE once. Families without a series are left out."""
    parts: list[str] = []
    for family in families:
        if not family.keys:
            continue
        parts.append(_head(family.metadata))
        parts += [f"{key} {_number(value)}\n" for key, value in zip(family.keys, family.values, strict=True)]
    return "".join(parts).encode("utf-8", "replace")


async def encode_prometheus(
    items: AsyncIterable[MetricMetadata | MetricSample] | Iterable[MetricMetadata | MetricSample],
) -> AsyncIterator[bytes]:
    """Stream a chunk for each family: each `MetricMetadata` is followed by its samples, without one they are untyped.

    Of several times of a series the latest is given, without its timestamp. Families are contiguous: all
    is read before the first chunk.
    """
    metadata: dict[str, MetricMetadata] = {}
    samples: dict[str, dict[str, MetricSample]] = {}
    current = MetricMetadata("")
    async for item in each(items):
        if isinstance(item, MetricMetadata):
            current = item
            metadata[item.name] = item
            samples.setdefault(item.name, {})
            continue
        if not _belongs(current, item.name):
            current = MetricMetadata(item.name)
        series = samples.setdefault(current.name, {})
        key = series_key(item.name, item.labels)
        known = series.get(key)
        if known is None or item.timestamp >= known.timestamp:
            series[key] = item
    for name, series in samples.items():
        text = exposition([_family(metadata.get(name, MetricMetadata(name)), list(series.values()))])
        if text:
            yield text


def _belongs(metadata: MetricMetadata, name: str) -> bool:
    if not metadata.name:
        return False
    if metadata.kind == "counter":
        return name in (metadata.name, f"{metadata.name}_total")
    if metadata.kind == "histogram":
        return name.removeprefix(metadata.name) in _ENDINGS and name.startswith(metadata.name)
    return name == _exposed(metadata)


def _family(metadata: MetricMetadata, samples: Sequence[MetricSample]) -> MetricFamily:
    if metadata.kind == "histogram":
        samples = sorted(samples, key=_histogram_order(metadata.name))
    keys = [series_key(_sample_name(metadata, sample.name), sample.labels) for sample in samples]
    return MetricFamily(metadata, keys, [sample.value for sample in samples])


def _sample_name(metadata: MetricMetadata, name: str) -> str:
    return _exposed(metadata) if metadata.kind == "counter" else name


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
    name, kind = _exposed(metadata), _TYPES.get(metadata.kind, metadata.kind)
    help_text = metadata.help.replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {name} {help_text}\n# TYPE {name} {kind}\n"


def _number(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (inf, -inf):
        return "+Inf" if value > 0 else "-Inf"
    whole = int(value)
    # Beyond 2**63 the digits would be noise.
    return str(whole) if whole == value and -(2**63) < whole < 2**63 else repr(value)
