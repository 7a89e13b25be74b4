"""The rules for names of metrics and labels (Prometheus data model; text format 0.0.4)."""

import re
from collections.abc import Sequence
from typing import Final

from ._errors import DeclarationError

_METRIC: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
# What a histogram or a counter is exposed as: another family must not end like that.
_SUFFIXES: Final = ("_total", "_created", "_bucket", "_sum", "_count", "_info")
_OWN_SUFFIX: Final = {"counter": "_total", "info": "_info"}


def family_name(kind: str, name: str) -> str:
    """The name of the family: a counter's without `_total`. Raises `DeclarationError` for a bad one."""
    if not _METRIC.fullmatch(str(name)):
        raise DeclarationError(f"bad metric name {name!r}: use letters, digits, _ and :, no digit first")
    if kind in _OWN_SUFFIX:
        name = name.removesuffix(_OWN_SUFFIX[kind])
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            raise DeclarationError(
                f"the {kind} {name!r} must not end in {suffix}, which has a meaning of its own"
            )
    if not name:
        raise DeclarationError(f"a {kind} needs a name before {_OWN_SUFFIX[kind]}")
    return name


def checked_unit(name: str, unit: str) -> str:
    """The unit of the family `name`. Raises `DeclarationError` where the name does not end in it."""
    if unit and not name.endswith(f"_{unit}"):
        raise DeclarationError(
            f"{name} must end in _{unit}, its unit, as OpenMetrics asks: name it {name}_{unit}"
        )
    return unit


def label_names(metric: str, labels: Sequence[str], reserved: Sequence[str] = ()) -> tuple[str, ...]:
    """The labels of a metric, checked. Raises `DeclarationError` that names the offence."""
    if isinstance(labels, str):
        raise DeclarationError(f"labels of {metric} must be a sequence of names: write ({labels!r},)")
    for label in labels:
        if not _LABEL.fullmatch(str(label)):
            raise DeclarationError(f"bad label name {label!r} of {metric}: use letters, digits and _")
        if label.startswith("__") or label in reserved:
            raise DeclarationError(f"the label {label!r} of {metric} is reserved: choose another name")
    if len(set(labels)) != len(labels):
        raise DeclarationError(f"{metric} declares a label twice: {', '.join(labels)}")
    return tuple(labels)
