"""From what a logger was told to the fields of an entry: formatted, cleaned and cut. Nothing here is kept."""

import sys
from collections.abc import Mapping
from itertools import islice
from logging import LogRecord, makeLogRecord
from typing import Any, Final

from ._attributes import measured, size_of, text_of, text_size, valid_text
from ._context import bound
from ._exceptions import ExceptionInfo, exception_attributes
from ._levels import SEVERITY, level_of_number, parse_level

MAX_ENTRY: Final = 65_536
TRUNCATED: Final = "obs.truncated"
_USUAL: Final = len(vars(makeLogRecord({})))
_STANDARD: Final = frozenset(vars(makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
# What structlog's event dictionaries have beside the caller's own values.
_EVENT: Final = frozenset(
    {"event", "level", "timestamp", "logger", "exc_info", "stack_info", "exception", "stack"}
)
_STRUCTLOG_EXTRA: Final = frozenset({"_logger", "_name", "_record", "_from_structlog"})
_METHODS: Final = {"EXCEPTION": "ERROR", "WARN": "WARNING", "FATAL": "CRITICAL"}

# About how many bytes of text, then the fields of `LogEntry` in their order.
Fields = tuple[int, float, str, str, dict[str, Any], str, str, str]


def plain_message(message: object, arguments: object) -> str | None:
    """The message with its arguments where that runs no code of the host; None where it may, or fails."""
    if type(message) is str and type(arguments) is tuple and _PLAIN.issuperset(map(type, arguments)):
        try:
            return message % arguments
        except (TypeError, ValueError, OverflowError):  # said in the message by the longer way
            return None
    return None


def record_fields(record: LogRecord) -> Fields:
    """The fields of a record: arguments are formatted now, `extra` and the exception become attributes."""
    # A record makes its own fields first; those of another class may be in any order.
    begin = _USUAL if type(record) is LogRecord else 0
    items = islice(record.__dict__.items(), begin, None)
    extra = {name: value for name, value in items if name not in _STANDARD}
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
    info = exc_info or record.exc_info
    return call_fields(record.created, level, kept, message, extra, text_of(record.name), info)


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
    trace_id, span_id = merged.pop("trace_id", ""), merged.pop("span_id", "")
    copy, size = measured(merged)
    text = text_of(message)
    size += text_size(text)
    if size > MAX_ENTRY:
        size, text, copy = MAX_ENTRY, *_cut(text, copy)
    return (size, timestamp, level, text, copy, logger, text_of(trace_id), text_of(span_id))


def level_of(name: object, number: int | None = None) -> tuple[str, str]:
    """One of `LEVELS`, and the name that was given where it is another, as SUCCESS or NOTICE; else ""."""
    if type(name) is str and name in SEVERITY:
        return name, ""
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


def _cut(message: str, attributes: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """At most 64 kB of both, and marked: half for the message, the rest for attributes while they fit."""
    message = _cut_text(message, MAX_ENTRY // 2)
    left = MAX_ENTRY - text_size(message)
    kept: dict[str, Any] = {TRUNCATED: True}
    for name, value in attributes.items():
        if type(value) is str and len(name) + text_size(value) > left:
            value = _cut_text(value, max(left - len(name), 0))  # noqa: PLW2901
        left -= len(name) + size_of(value)
        if left < 0:
            break
        kept[name] = value
    return message, kept


def _message(record: LogRecord) -> str:
    message = record.msg
    if type(message) is str and not record.args:
        return valid_text(message)
    try:
        return valid_text(record.getMessage())
    except Exception:  # wrong arguments, or a __str__ that raises: the text says so
        return f"{text_of(message)} <unprintable arguments>"


def _cut_text(text: str, size: int) -> str:
    return text[:size] if text.isascii() else text[: max(size - 100, 0) // 4]
