"""From what a logger was told to the fields of an entry: formatted, cleaned and cut. Nothing here is kept."""

import sys
from collections.abc import Mapping
from logging import LogRecord, makeLogRecord
from typing import Any, Final

from ._attributes import clean, text_of, valid_text
from ._context import bound
from ._exceptions import ExceptionInfo, exception_attributes
from ._levels import level_of_number, parse_level

MAX_ENTRY: Final = 65_536
TRUNCATED: Final = "obs.truncated"
_STANDARD: Final = frozenset(vars(makeLogRecord({}))) | {"message", "asctime", "taskName"}
# What structlog's event dictionaries have beside the caller's own values.
_EVENT: Final = frozenset(
    {"event", "level", "timestamp", "logger", "exc_info", "stack_info", "exception", "stack"}
)
_STRUCTLOG_EXTRA: Final = frozenset({"_logger", "_name", "_record", "_from_structlog"})
_METHODS: Final = {"EXCEPTION": "ERROR", "WARN": "WARNING", "FATAL": "CRITICAL"}

# Timestamp, level, message, attributes, logger, trace id, span id: as in `LogEntry`.
Fields = tuple[float, str, str, dict[str, Any], str, str, str]


def record_fields(record: LogRecord) -> Fields:
    """The fields of a record: arguments are formatted now, `extra` and the exception become attributes."""
    extra = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
    message = record.msg
    exc_info: Any = record.exc_info
    if type(message) is dict and "event" in message:  # structlog, through its formatter for logging
        extra = {name: value for name, value in extra.items() if name not in _STRUCTLOG_EXTRA}
        message, event, exc_info = event_parts(message)
        extra.update(event)
    else:
        message = _message(record)
    if record.stack_info:
        extra["code.stacktrace"] = record.stack_info
    level, kept = level_of(record.levelname, record.levelno)
    return call_fields(
        record.created, level, kept, message, extra, text_of(record.name), exc_info or record.exc_info
    )


def call_fields(
    timestamp: float,
    level: str,
    level_name: str,
    message: object,
    attributes: Mapping[str, Any],
    logger: str,
    exc_info: object = None,
) -> Fields:
    """The fields of a call of a logger of any kind: what is bound comes under the call's own attributes."""
    merged: dict[str, Any] = {**bound(), **attributes}
    if level_name:
        merged.setdefault("level", level_name)
    if exc_info:
        merged.update(exception_attributes(exception_info(exc_info)))
    trace_id, span_id = text_of(merged.pop("trace_id", "")), text_of(merged.pop("span_id", ""))
    return (timestamp, level, text_of(message), clean(merged), logger, trace_id, span_id)


def level_of(name: object, number: int | None = None) -> tuple[str, str]:
    """One of `LEVELS`, and the name that was given where it is another, as SUCCESS or NOTICE; else ""."""
    text = str(name)
    level = parse_level(_METHODS.get(text.upper(), text))
    if level is not None:
        return level, ""
    return (level_of_number(number) if isinstance(number, int) else "INFO"), text


def event_parts(event: Mapping[str, Any]) -> tuple[object, dict[str, Any], object]:
    """The message, the attributes and the exception of one of structlog's event dictionaries."""
    attributes = {name: value for name, value in event.items() if name not in _EVENT}
    if event.get("exception"):
        attributes["exception.stacktrace"] = event["exception"]
    if event.get("stack"):
        attributes["code.stacktrace"] = event["stack"]
    return event.get("event", ""), attributes, event.get("exc_info")


def exception_info(given: object) -> ExceptionInfo:
    """What `exc_info` means: a triple, an exception, or true for the one that is being handled."""
    if isinstance(given, tuple):
        return given if len(given) == 3 else (None, None, None)
    if isinstance(given, BaseException):
        return type(given), given, given.__traceback__
    return sys.exc_info()


def bounded(fields: Fields) -> tuple[int, Fields]:
    """About how many bytes of text the fields hold, and the fields: cut, and marked, where it was over 64 kB."""
    timestamp, level, message, attributes, *rest = fields
    size = _text_size(message) + sum(map(_size, attributes.items()))
    if size <= MAX_ENTRY:
        return size, fields
    # Half for the message, the rest for attributes while they fit.
    message = _cut_text(message, MAX_ENTRY // 2)
    left = MAX_ENTRY - _text_size(message)
    kept: dict[str, Any] = {TRUNCATED: True}
    for name, value in attributes.items():
        if type(value) is str and _size((name, value)) > left:
            value = _cut_text(value, max(left - len(name), 0))  # noqa: PLW2901
        left -= _size((name, value))
        if left < 0:
            break
        kept[name] = value
    return MAX_ENTRY, (timestamp, level, message, kept, *rest)  # type: ignore[return-value]


def _message(record: LogRecord) -> str:
    message = record.msg
    if type(message) is str and not record.args:
        return valid_text(message)
    try:
        return valid_text(record.getMessage())
    except Exception:  # wrong arguments, or a __str__ that raises: the text says so
        return f"{text_of(message)} <unprintable arguments>"


def _size(attribute: tuple[str, Any]) -> int:
    name, value = attribute
    if type(value) is str:
        return len(name) + _text_size(value)
    if type(value) is dict:
        return len(name) + sum(map(_size, value.items()))
    if type(value) is list:
        return len(name) + sum(_size(("", item)) for item in value)
    return len(name) + 8


def _text_size(text: str) -> int:
    return len(text) if text.isascii() else sys.getsizeof(text)


def _cut_text(text: str, size: int) -> str:
    return text[:size] if text.isascii() else text[: max(size - 100, 0) // 4]
