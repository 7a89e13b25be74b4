"""From what a logger was told to the fields of an entry: formatted, cleaned and cut. Nothing here is kept."""

import sys
from collections.abc import Mapping
from itertools import islice
from logging import LogRecord
from typing import Any, Final

from ._attributes import (
    HEAD,
    MAX_ITEMS,
    measured,
    memory_of,
    short_text,
    size_of,
    text_of,
    text_size,
    valid_text,
)
from ._context import bound
from ._exceptions import ExceptionInfo, exception_attributes
from ._levels import SEVERITY, level_of_number, parse_level
from ._plain import extra_names

MAX_ENTRY: Final = 65_536  # bytes of text
TRUNCATED: Final = "obs.truncated"
# What structlog's event dictionaries have beside the caller's own values.
_EVENT: Final = frozenset(
    {"event", "level", "timestamp", "logger", "exc_info", "stack_info", "exception", "stack"}
)
_STRUCTLOG_EXTRA: Final = frozenset({"_logger", "_name", "_record", "_from_structlog"})
_METHODS: Final = {"EXCEPTION": "ERROR", "WARN": "WARNING", "FATAL": "CRITICAL"}

# Bytes of memory, then the fields of `LogEntry` in their order; no attributes is None, which costs nothing.
Fields = tuple[int, float, str, str, dict[str, Any] | None, str, str, str]


def record_fields(record: LogRecord) -> Fields:
    """The fields of a record: arguments are formatted now, `extra` and the exception become attributes."""
    fields = record.__dict__
    extra = {name: fields[name] for name in extra_names(record)}
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
    merged: dict[Any, Any] = {**bound(), **attributes}
    if level_name:
        merged.setdefault("level", level_name)
    if exc_info:
        merged.update(exception_attributes(exception_info(exc_info)))
    if len(merged) > MAX_ITEMS:
        merged = {**dict(islice(merged.items(), MAX_ITEMS)), TRUNCATED: True}
    trace_id, span_id = short_text(merged.pop("trace_id", "")), short_text(merged.pop("span_id", ""))
    text = text_of(message)
    copy, memory = measured(merged)
    memory += text_size(text)
    # A bound on memory would cut where there is little text; where it is kept, so is this one.
    if memory > MAX_ENTRY and text_size(text) + size_of(copy) > MAX_ENTRY:
        text, copy = _cut(text, copy)
        memory = text_size(text) + memory_of(copy)
    memory += text_size(trace_id) + text_size(span_id) + 2 * HEAD
    return (memory, timestamp, level, text, copy or None, short_text(logger), trace_id, span_id)


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
