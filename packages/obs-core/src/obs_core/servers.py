"""The loggers of servers, which keep their records away from the root logger."""

import copy
import logging
from collections.abc import Iterable
from typing import Any, Final

# Theirs are captured where the adapters were not told otherwise.
_KNOWN: Final = ("uvicorn", "gunicorn", "hypercorn", "_granian", "granian", "django.server")
SERVERS: Final = (
    *("uvicorn.error", "uvicorn.access", "uvicorn.asgi", "gunicorn.error", "gunicorn.access"),
    *("hypercorn.error", "hypercorn.access", "_granian", "granian.access"),
)
# Of gunicorn, hypercorn and granian.
_LINES: Final = ("r", "R")
_QUERIES: Final = ("q", "query_string")
_UVICORN_PATH: Final = 2  # the place of the path among (client, method, path, version, status)


class ServerHandler(logging.Handler):
    """Hands records on; the query string of an access line is left out, since it may hold what is secret."""

    def __init__(self, handler: logging.Handler) -> None:
        super().__init__()
        self.handler = handler

    def createLock(self) -> None:  # noqa: N802  # the name is that of logging
        """No lock, as in the handler behind."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        if record.name.endswith(".access"):
            record = _without_query(record)
        return bool(self.handler.handle(record))


def capture_servers(handler: logging.Handler, names: Iterable[str] = SERVERS) -> None:
    """Capture what does not reach the root logger; what reaches it is captured there, so nothing comes twice."""
    for name in names:
        logger = logging.getLogger(name)
        while logger.propagate and logger.parent is not None:
            logger = logger.parent
        if logger is not logging.getLogger() and not any(_is_ours(one, handler) for one in logger.handlers):
            logger.addHandler(ServerHandler(handler))


def release_servers(handler: logging.Handler) -> None:
    """Take back what `capture_servers` did: nothing of the handler is left on any logger of a server."""
    for logger in list(logging.root.manager.loggerDict.values()):
        if not isinstance(logger, logging.Logger):  # a place for a name that has only children
            continue
        for one in list(logger.handlers):
            if isinstance(one, ServerHandler) and one.handler is handler:
                logger.removeHandler(one)


def kept_apart(handler: logging.Handler) -> list[str]:
    """The loggers, but for those of servers, whose records reach neither the root logger nor this handler."""
    return sorted(
        name
        for name, logger in list(logging.root.manager.loggerDict.items())
        if isinstance(logger, logging.Logger)
        and not logger.propagate
        and not name.startswith(_KNOWN)
        and not any(_is_ours(one, handler) for one in logger.handlers)
    )


def _is_ours(one: logging.Handler, handler: logging.Handler) -> bool:
    return one is handler or (isinstance(one, ServerHandler) and one.handler is handler)


def _without_query(record: logging.LogRecord) -> logging.LogRecord:
    """The record itself where it has none: most have none, and a copy costs more than all the rest."""
    arguments: Any = record.args
    if isinstance(arguments, tuple) and len(arguments) > _UVICORN_PATH:
        path, mark, _ = str(arguments[_UVICORN_PATH]).partition("?")
        if mark:
            return _with(record, (*arguments[:_UVICORN_PATH], path, *arguments[_UVICORN_PATH + 1 :]))
    elif isinstance(arguments, dict):
        changed = {
            name: _request_line(str(arguments[name]))
            for name in _LINES
            if "?" in str(arguments.get(name, ""))
        }
        changed |= {name: "" for name in _QUERIES if arguments.get(name)}
        if changed:
            arguments = copy.copy(arguments)
            arguments.update(changed)
            return _with(record, arguments)
    return record


def _with(record: logging.LogRecord, arguments: Any) -> logging.LogRecord:
    record = copy.copy(record)
    record.args = arguments
    return record


def _request_line(line: str) -> str:
    """`GET /a?b=c HTTP/1.1` without `?b=c`."""
    before, mark, after = line.partition("?")
    return f"{before} {after.rpartition(' ')[2]}" if mark else line
