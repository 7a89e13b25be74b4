"""The one handler through which log records come in, whatever library they are from."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from time import time
from typing import Any, Final

from ._attributes import add_plain, short_text, text_size, valid_text
from ._context import bound
from ._entries import MAX_ENTRY, Fields, call_fields, level_of, record_fields
from ._plain import USUAL, extra_names, plain_context, plain_message
from ._queue import LogQueue
from ._records import LogEntry
from ._redaction import Redact, redactor
from .logger import Logger

_MAX_HOSTS: Final = 1000
_OWN: Final = (
    "obs_core",
    "obs_runtime",
    "obs_storage_",
    "obs_asgi",
    "obs_fastapi",
    "obs_django",
    "aiosqlite",
)
_USUAL_LEVELS: Final = frozenset({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})
_URGENT: Final = frozenset({"ERROR", "CRITICAL"})
# A signal handler may log while the program does, and so may a __str__ that is logged: but not for ever.
_MAX_DEPTH: Final = 3


class LogHandler(logging.Handler):
    """Queues records without a lock, without I/O and without ever raising; a runtime writes them.

    An entry over 64 kB is cut and marked with the attribute `obs.truncated`. `on_urgent` is called for ERROR and
    worse; it must be safe in a signal handler. `on_close` is called where logging is configured anew, which takes
    handlers off. After `closed` is set, entries are counted as dropped. `redact` is a list of names whose values
    never leave the process, or what does it.
    """

    def __init__(
        self,
        queue: LogQueue | None = None,
        *,
        level: int = logging.NOTSET,
        redact: Redact | Iterable[str] | None = None,
    ) -> None:
        super().__init__(level)
        self.queue = LogQueue() if queue is None else queue
        self.on_urgent: Callable[[], None] | None = None
        self.on_close: Callable[[], None] | None = None
        self.closed = False
        # A runtime's thread is silent all the time, so that this costs next to nothing.
        self._silent: frozenset[int | None] = frozenset()
        self._redact = redact if callable(redact) else redactor() if redact is None else redactor(redact)
        self._inside = threading.local()
        # Names of loggers that are not our own, so that each is compared with ours once.
        self._hosts: set[str] = set()

    @property
    def accepted(self) -> int:
        """How many entries were ever queued."""
        return self.queue.accepted

    def createLock(self) -> None:  # noqa: N802  # the name is that of logging
        """No lock: it could be held in another thread at a fork, or in this one under a signal handler."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Queue a record; whatever its arguments do, the caller never sees it."""
        try:
            level, name, message, arguments = record.levelname, record.name, record.msg, record.args
            created = record.created
            # The usual record is text, perhaps with arguments and plain attributes; all others take the longer way.
            # Its dictionary is asked last: Python makes one for it, and reads the fields more slowly from then on.
            if (
                name not in self._hosts
                or level not in _USUAL_LEVELS
                or record.exc_info
                or record.stack_info
                or self.filters
                or record.thread in self._silent
                or self.closed
            ):
                return self._handle_other(record)
            if arguments:
                message = plain_message(message, arguments)
            if type(message) is not str:
                return self._handle_other(record)
            context, fields = bound(), record.__dict__
            if context or len(fields) != USUAL or not message.isascii() or len(message) > MAX_ENTRY:
                names = extra_names(record) if len(fields) != USUAL else ()
                put = self._put_plain(created, level, message, name, context, fields, names)
                return self._handle_other(record) if put is None else put
            if self.queue.put(len(message), created, level, message, None, name):
                if level in _URGENT and self.on_urgent is not None:
                    self.on_urgent()
                return True
        except Exception:  # the host's logging call must go on, and the entry must be counted
            self.queue.refuse("error")
        return False

    emit = handle  # type: ignore[assignment]

    def close(self) -> None:
        """Called by `dictConfig` and `basicConfig(force=True)`, and by `logging` at the end of the process."""
        super().close()
        if self.on_close is not None:
            self.on_close()

    def log(
        self,
        logger: str,
        level: str,
        message: object,
        attributes: Mapping[str, Any],
        *,
        number: int | None = None,
        timestamp: float | None = None,
        exc_info: object = None,
    ) -> None:
        """Queue what a logger of another kind was told. Never raises.

        `number` is the level's number in `logging`, for those that have another name than ours.
        """
        known, kept = level_of(level, number)
        when = time() if timestamp is None else timestamp
        try:
            if (
                type(message) is str
                and type(attributes) is dict
                and logger.isascii()
                and not (kept or exc_info or self._refused())
                and self._put_plain(when, known, message, logger, bound(), attributes, attributes) is not None
            ):
                return
        except Exception:  # as in `handle`
            self.queue.refuse("error")
            return
        self._add(call_fields, when, known, kept, message, attributes, logger, exc_info)

    def drain(self, limit: int) -> list[LogEntry]:
        """Take up to `limit` entries out of the queue, redacted, in the order of arrival."""
        return [self._redact(entry) for entry in self.queue.drain(limit)]

    def logger(self, name: str) -> Logger:
        """A logger with attributes as keyword arguments, into the same queue."""
        return Logger(short_text(name), self.log)

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Inside, what this thread logs is dropped and counted: a storage that logs would write for ever."""
        thread = threading.get_ident()
        # None too: what a record says of its thread where `logging.logThreads` is off.
        self._silent |= {thread, None}
        try:
            yield
        finally:
            left = self._silent - {thread}
            self._silent = left if left != {None} else frozenset()

    def forget(self) -> None:
        """As a forked child does: what is queued is its parent's, and so are the threads that were silent."""
        self.queue.clear()
        self._silent = frozenset()

    def _handle_other(self, record: logging.LogRecord) -> bool:
        name = str(record.name)
        if name.startswith(_OWN):
            return False
        if len(self._hosts) < _MAX_HOSTS and name == short_text(name):
            self._hosts.add(name)
        if self.filters:
            passed: Any = self.filter(record)
            if not passed:
                return False
            if isinstance(passed, logging.LogRecord):  # since Python 3.12 a filter may give another record
                record = passed
        return self._add(record_fields, record)

    def _refused(self) -> bool:
        return self.closed or threading.get_ident() in self._silent

    def _put_plain(
        self,
        created: float,
        level: str,
        message: str,
        logger: str,
        context: dict[str, Any],
        given: dict[Any, Any],
        names: Iterable[Any],
    ) -> bool | None:
        """Queue what is bound and what is given under these names; None where it is not plain, or too much."""
        plain = plain_context(context)
        if plain is None:
            return None
        memory, shared, trace_id, span_id = plain
        attributes = shared.copy()
        added = add_plain(attributes, given, names)
        if added < 0:
            return None
        if not message.isascii():
            message = valid_text(message)
        memory += text_size(message) + added
        if memory > MAX_ENTRY:
            return None
        if not self.queue.put(memory, created, level, message, attributes, logger, trace_id, span_id):
            return False
        if level in _URGENT and self.on_urgent is not None:
            self.on_urgent()
        return True

    def _add(self, make: Callable[..., Fields], *arguments: Any) -> bool:
        """Queue the fields that `make` gives, which may run code of the host, which may log."""
        if self._refused():
            self.queue.refuse("stopped" if self.closed else "own")
            return False
        depth = getattr(self._inside, "depth", 0)
        if depth >= _MAX_DEPTH:
            self.queue.refuse("recursion")
            return False
        self._inside.depth = depth + 1
        try:
            fields = make(*arguments)
            if self.queue.put(*fields):
                if fields[2] in _URGENT and self.on_urgent is not None:
                    self.on_urgent()
                return True
        except Exception:  # the host's logging call must go on, and the entry must be counted
            self.queue.refuse("error")
        finally:
            self._inside.depth = depth
        return False
