"""Metrics in the text format of OpenMetrics 1.0.

What it has beside the older format: `_created`, exemplars, units, info, and an end that tells a cut
exposition from a whole one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isfinite
from typing import Final

from .._records import Exemplar, MetricFamily, MetricMetadata
from .._series_keys import safe_name, series_key
from ._values import number_text, sample_lines

CONTENT_TYPE_OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_NO_UNIT: Final = ("info", "unknown")
_MAX_EXEMPLAR: Final = 128
_END: Final = "# EOF\n"

Lines = Iterator[str]


def openmetrics_text(families: Iterable[MetricFamily]) -> bytes:
    """The text of these families; those without a series are left out."""
    parts: list[str] = []
    for family in families:
        if family.keys:
            parts.append(_head(family.metadata))
            parts += _BODIES.get(family.metadata.kind, _plain)(family)
    return ("".join(parts) + _END).encode("utf-8", "replace")


def _plain(family: MetricFamily) -> Lines:
    yield sample_lines(family.keys, family.values)


def _counter(family: MetricFamily) -> Lines:
    created = _created_text(family)
    for index, (key, value) in enumerate(zip(family.keys, family.values, strict=True)):
        yield f"{key} {number_text(value)}{_exemplar_text(family.exemplars, index)}\n"
        if created:
            yield f"{_other(key, '_total', '_created')} {created}\n"


def _histogram(family: MetricFamily) -> Lines:
    """Series for series, each with its `_created`. Where the sum says nothing, it and the count are left out:
    the format allows neither without the other, nor a sum once there are bounds or observations below zero.
    """
    created = _created_text(family)
    name, negative, summed = safe_name(family.metadata.name), False, ""
    for index, (key, value) in enumerate(zip(family.keys, family.values, strict=True)):
        text = f"{key} {number_text(value)}{_exemplar_text(family.exemplars, index)}\n"
        if key.startswith(f"{name}_sum"):
            summed = text if value >= 0.0 and not negative else ""
        elif key.startswith(f"{name}_count"):
            if summed:
                yield summed + text
            if created:
                yield f"{_other(key, '_count', '_created')} {created}\n"
            negative, summed = False, ""
        else:
            negative = negative or 'le="-' in key
            yield text


_BODIES: Final[Mapping[str, Callable[[MetricFamily], Lines]]] = {"counter": _counter, "histogram": _histogram}


def _head(metadata: MetricMetadata) -> str:
    name = safe_name(_family_name(metadata))
    help_text = metadata.help.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    unit = metadata.unit
    lines = f"# TYPE {name} {metadata.kind}\n"
    if unit and metadata.kind not in _NO_UNIT and name.endswith(f"_{unit}"):
        lines += f"# UNIT {name} {unit}\n"
    return f"{lines}# HELP {name} {help_text}\n" if help_text else lines


def _family_name(metadata: MetricMetadata) -> str:
    ending = {"counter": "_total", "info": "_info"}.get(metadata.kind, "")
    return metadata.name.removesuffix(ending)


def _other(key: str, ending: str, other: str) -> str:
    """The key with another ending of its name: `orders_total{...}` as `orders_created{...}`."""
    name, brace, labels = key.partition("{")
    return f"{name.removesuffix(ending)}{other}{brace}{labels}"


def _created_text(family: MetricFamily) -> str:
    return f"{family.created:.3f}" if family.created > 0.0 and isfinite(family.created) else ""


def _exemplar_text(exemplars: Mapping[int, Exemplar], index: int) -> str:
    exemplar = exemplars.get(index) if exemplars else None
    # The format bounds the labels of an exemplar; a reader would refuse the whole exposition for one over it.
    if (
        exemplar is None
        or sum(len(name) + len(value) for name, value in exemplar.labels.items()) > _MAX_EXEMPLAR
    ):
        return ""
    labels = series_key("", exemplar.labels) or "{}"
    return f" # {labels} {number_text(exemplar.value)} {exemplar.timestamp:.3f}"
