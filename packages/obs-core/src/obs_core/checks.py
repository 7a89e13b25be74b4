"""What every storage asks of a record before it stores it, so that all of them take and refuse the same.

A storage calls these with a whole batch and stores nothing of it where they raise. They look at types: text that
UTF-8 cannot hold is found by whoever encodes, and is a `TypeError` too, as are integers over 64 bits for most.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, Final, NoReturn, get_args

from ._levels import LEVELS
from ._records import LogEntry, MetricKind, MetricMetadata, MetricSample

_LEVELS: Final = frozenset(LEVELS)
_KINDS: Final = frozenset(get_args(MetricKind))
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_TEXT: Final = frozenset({str})
_MAX_SHOWN: Final = 200


def check_entries(entries: Sequence[LogEntry]) -> None:
    """Raise `TypeError` where one is no `LogEntry`, or a field of it is not what the record says.

    The level is one of `LEVELS`, the time a number and finite, attributes are JSON with names that are text.
    About 0.12 ms for 1,000 entries, and 0.04 ms more for each attribute that all of them have.
    """
    # One expression that compares types is three times cheaper than anything that calls for each field.
    for odd in [
        entry
        for entry in entries
        if type(entry) is not LogEntry
        or type(entry.timestamp) is not float
        or type(entry.message) is not str
        or type(entry.attributes) is not dict
        or type(entry.logger) is not str
        or type(entry.trace_id) is not str
        or type(entry.span_id) is not str
        or type(entry.level) is not str
    ]:
        _check_entry(odd)
    if not _LEVELS.issuperset({entry.level for entry in entries}) or not isfinite(
        sum([entry.timestamp for entry in entries])
    ):
        for entry in entries:
            _check_entry(entry)
    attributes = [entry.attributes for entry in entries if entry.attributes]
    if not _SCALARS.issuperset({type(value) for one in attributes for value in one.values()}):
        for one in attributes:
            for name, value in one.items():
                if type(value) not in _SCALARS:
                    _check_json(f"LogEntry.attributes[{name!r}]", value)
    _check_names("LogEntry.attributes", attributes)


def check_samples(samples: Sequence[MetricSample]) -> None:
    """Raise `TypeError` where one is no `MetricSample`, or a field of it is not what the record says.

    The time is finite, the value any number, NaN too; labels map text to text.
    """
    for odd in [
        sample
        for sample in samples
        if type(sample) is not MetricSample
        or type(sample.name) is not str
        or type(sample.value) is not float
        or type(sample.timestamp) is not float
        or type(sample.labels) is not dict
    ]:
        _check_sample(odd)
    if not isfinite(sum([sample.timestamp for sample in samples])):
        for sample in samples:
            _check_sample(sample)
    labels = [sample.labels for sample in samples if sample.labels]
    if not _TEXT.issuperset({type(value) for one in labels for value in one.values()}):
        for one in labels:
            for name, value in one.items():
                _check_text(f"MetricSample.labels[{name!r}]", value)
    _check_names("MetricSample.labels", labels)


def check_metadata(metadata: Iterable[MetricMetadata]) -> None:
    """Raise `TypeError` where one is no `MetricMetadata`, or a field of it is not what the record says."""
    for one in metadata:
        if not isinstance(one, MetricMetadata):
            _refuse("MetricMetadata", one)
        for name in ("name", "help", "unit"):
            _check_text(f"MetricMetadata.{name}", getattr(one, name))
        kind: object = one.kind
        if type(kind) is not str or kind not in _KINDS:
            _refuse(f"MetricMetadata.kind: one of {', '.join(sorted(_KINDS))}", kind)


def _check_entry(entry: LogEntry) -> None:
    if not isinstance(entry, LogEntry):
        _refuse("LogEntry", entry)
    _check_time("LogEntry.timestamp", entry.timestamp)
    for name in ("message", "logger", "trace_id", "span_id"):
        _check_text(f"LogEntry.{name}", getattr(entry, name))
    if type(entry.level) is not str or entry.level not in _LEVELS:
        _refuse(f"LogEntry.level: one of {', '.join(LEVELS)}", entry.level)
    if type(entry.attributes) is not dict:
        _refuse("LogEntry.attributes: a dict", entry.attributes)


def _check_sample(sample: MetricSample) -> None:
    if not isinstance(sample, MetricSample):
        _refuse("MetricSample", sample)
    _check_text("MetricSample.name", sample.name)
    _check_time("MetricSample.timestamp", sample.timestamp)
    if type(sample.value) not in (float, int):
        _refuse("MetricSample.value: a float", sample.value)
    if type(sample.labels) is not dict:
        _refuse("MetricSample.labels: a dict", sample.labels)


def _check_time(what: str, value: object) -> None:
    try:
        if type(value) in (float, int) and isfinite(value):  # type: ignore[arg-type]  # just looked at
            return
    except OverflowError:  # an integer that no float can hold
        pass
    _refuse(f"{what}: Unix seconds as a finite float", value)


def _check_text(what: str, value: object) -> None:
    if type(value) is not str:
        _refuse(f"{what}: a str", value)


def _check_names(what: str, mappings: Sequence[Mapping[str, Any]]) -> None:
    names: set[object] = set().union(*mappings)
    if not _TEXT.issuperset(map(type, names)):
        for name in names:
            _check_text(f"a name in {what}", name)


def _check_json(what: str, value: object) -> None:
    """The value, and all in it; what is too deep to be followed is none."""
    try:
        _check_container(what, value)
    except RecursionError:
        raise TypeError(f"{what} is nested too deeply: nothing of the batch was stored") from None


def _check_container(what: str, value: object) -> None:
    if type(value) is dict:
        if not _TEXT.issuperset(map(type, value)):
            _check_names(what, [value])
        items: Iterable[object] = value.values()
    elif type(value) is list:
        items = value
    else:
        _refuse(f"{what}: JSON", value)
    if not _SCALARS.issuperset(map(type, items)):
        for item in items:
            if type(item) not in _SCALARS:
                _check_container(what, item)


def _refuse(needed: str, given: object) -> NoReturn:
    try:
        shown = repr(given)[:_MAX_SHOWN]
    except Exception:  # an object of the host's own
        shown = "what cannot be shown"
    kind = type(given).__name__
    raise TypeError(f"{needed} is needed, not {shown} of type {kind}: nothing of the batch was stored")
