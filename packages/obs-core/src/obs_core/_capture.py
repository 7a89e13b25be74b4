"""The one handler through which `logging` records come in."""

import logging
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from ._attributes import clean, text_of, valid_text
from ._context import bound
from ._exceptions import ExceptionInfo, exception_attributes
from ._levels import level_of_number, parse_level
from ._queue import LogQueue
from ._records import LogEntry
from ._redaction import Redact, redactor
from .logger import Logger

MAX_ENTRY: Final = 65_536
_OWN: Final = ("obs_", "aiosqlite")
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_USUAL: Final = len(vars(logging.makeLogRecord({})))
_LEVELS: Final = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}
_URGENT: Final = frozenset({"ERROR", "CRITICAL"})


class LogHandler(logging.Handler):
    """Queues records without a lock, without I/O and without ever raising; a runtime writes them.

    An entry over 64 kB is cut and marked with the attribute `obs.truncated`. `on_urgent` is called for
    ERROR and worse; it must be safe in a signal handler. After `closed` is set, entries are counted
    as dropped.
    """

    def __init__(
        self, queue: LogQueue | None = None, *, level: int = logging.NOTSET, redact: Redact | None = None
    ) -> None:
        super().__init__(level)
        self.queue = queue or LogQueue()
        self.on_urgent: Callable[[], None] | None = None
        self.closed = False
        self.accepted = 0
        self._redact = redact or redactor()
        self._inside = threading.local()

    def createLock(self) -> None:  # noqa: N802  # the name is that of logging
        """No lock: it could be held in another thread at a fork, or in this one under a signal handler."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Queue a record; whatever its arguments do, the caller never sees it."""
        if str(record.name).startswith(_OWN) or getattr(self._inside, "busy", False):
            return False
        self._inside.busy = True
        try:
            if self.filters and not self.filter(record):
                return False
            self.accept(entry_of(record))
        except Exception as error:  # the host's logging call must go on, and the entry must be counted
            self.queue.refuse()
            sys.stderr.write(f"obs: a log record was dropped: {text_of(error)}\n")
        finally:
            self._inside.busy = False
        return True

    emit = handle  # type: ignore[assignment]

    def accept(self, entry: LogEntry) -> None:
        """Queue an entry."""
        size = len(entry.message)
        if entry.attributes or size > MAX_ENTRY:
            size += sum(map(_size, entry.attributes.items()))
            if size > MAX_ENTRY:
                entry = _cut(entry)
                size = MAX_ENTRY
        if self.closed:
            self.queue.refuse()
            return
        if self.queue.put(entry, size):
            self.accepted += 1
            if entry.level in _URGENT and self.on_urgent is not None:
                self.on_urgent()

    def drain(self, limit: int) -> list[LogEntry]:
        """Take up to about `limit` entries out of the queue, redacted, in the order of arrival."""
        return [self._redact(entry) for entry in self.queue.drain(limit)]

    def logger(self, name: str) -> Logger:
        """A logger with attributes as keyword arguments, into the same queue."""
        return Logger(name, self.accept)


def entry_of(record: logging.LogRecord) -> LogEntry:
    """The entry of a record: arguments are formatted now, `extra` and the exception become attributes."""
    level = _LEVELS.get(record.levelno)
    attributes: dict[str, Any] = {}
    if level is None:
        level = parse_level(record.levelname) or level_of_number(record.levelno)
        if level not in (record.levelname, parse_level(record.levelname)):
            attributes["level"] = record.levelname
    fields = record.__dict__
    context = bound()
    if context or len(fields) > _USUAL:
        attributes.update(context)
        attributes.update((name, value) for name, value in fields.items() if name not in _STANDARD)
    if record.exc_info:
        attributes.update(exception_attributes(_exception(record.exc_info)))
    if record.stack_info:
        attributes["code.stacktrace"] = record.stack_info
    trace_id = span_id = ""
    if attributes:
        trace_id, span_id = text_of(attributes.pop("trace_id", "")), text_of(attributes.pop("span_id", ""))
        attributes = clean(attributes)
    return LogEntry(
        record.created, level, _message(record), attributes, text_of(record.name), trace_id, span_id
    )


def _message(record: logging.LogRecord) -> str:
    message = record.msg
    if type(message) is str and not record.args:
        return valid_text(message)
    try:
        return valid_text(record.getMessage())
    except Exception:  # wrong arguments, or a __str__ that raises: the text says so
        return f"{text_of(message)} <unprintable arguments>"


def _exception(info: Any) -> ExceptionInfo:
    return info if isinstance(info, tuple) else (None, None, None)


def _size(attribute: tuple[str, Any]) -> int:
    name, value = attribute
    if type(value) is str:
        return len(name) + len(value)
    if type(value) is dict:
        return len(name) + sum(map(_size, value.items()))
    if type(value) is list:
        return len(name) + sum(_size(("", item)) for item in value)
    return len(name) + 8


def _cut(entry: LogEntry) -> LogEntry:
    """An entry of at most 64 kB: half for the message, the rest for attributes while they fit."""
    message = entry.message[: MAX_ENTRY // 2]
    left = MAX_ENTRY - len(message)
    attributes: dict[str, Any] = {"obs.truncated": True}
    for name, value in entry.attributes.items():
        if type(value) is str and len(value) + len(name) > left:
            value = value[: max(left - len(name), 0)]  # noqa: PLW2901
        left -= _size((name, value))
        if left < 0:
            break
        attributes[name] = value
    return LogEntry(
        entry.timestamp, entry.level, message, attributes, entry.logger, entry.trace_id, entry.span_id
    )
