"""Warnings on the console: with a handler of ours on the root logger, Python would no longer print them by itself."""

import logging
import threading
from typing import Final

from obs_core import LogHandler


class _Console(logging.Handler):
    """Prints as Python does: from WARNING on, what reaches no handler but ours."""

    def createLock(self) -> None:  # noqa: N802  # the name is that of logging
        """None: what prints has its own, which is not held while we look."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        last = logging.lastResort
        if last is not None and record.levelno >= last.level and not _reaches_another(record.name):
            last.handle(record)
        return True


_CONSOLE: Final = _Console(logging.WARNING)
# A fork waits no longer for one that prints, as to a pipe that nobody reads.
_PATIENCE: Final = 0.05
_LOGGING: Final = logging._lock  # type: ignore[attr-defined]  # it has no other name
_held = threading.local()


def put_on(root: logging.Logger, handler: LogHandler) -> None:
    """Have what reaches this logger captured, and warnings printed as before."""
    root.addHandler(handler)
    root.addHandler(_CONSOLE)


def take_off(root: logging.Logger, handler: LogHandler) -> None:
    """Leave it as it was, once no other runtime of this process is on it."""
    root.removeHandler(handler)
    if not any(isinstance(other, LogHandler) for other in root.handlers):
        root.removeHandler(_CONSOLE)


def before_fork() -> None:
    """Keep others from printing: a lock of stderr that is held while the process forks is never freed in the child."""
    last = logging.lastResort
    _held.locks = []
    # In this order: who configures logging holds its own lock, which `logging` itself takes for each fork, and closes
    # the printing handler under it.
    for lock in (_LOGGING, None if last is None else last.lock):
        if lock is None or not lock.acquire(timeout=_PATIENCE):
            return
        _held.locks.append(lock)


def after_fork_in_parent() -> None:
    """Let them go on. In the child `logging` has made its locks anew."""
    while _held.locks:
        _held.locks.pop().release()


def _reaches_another(name: str) -> bool:
    logger = logging.root.manager.loggerDict.get(name)
    one: logging.Logger | None = logger if isinstance(logger, logging.Logger) else logging.root
    while one is not None:
        if any(not isinstance(other, LogHandler | _Console) for other in one.handlers):
            return True
        one = one.parent if one.propagate else None
    return False
