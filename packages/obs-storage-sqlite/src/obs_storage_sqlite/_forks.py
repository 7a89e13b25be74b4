"""Forks: none cuts SQLite in two, and a child uses nothing of its parent's.

SQLite's own mutexes are copied as they are: a fork while another thread holds one would hang the child at its
first statement. So a fork waits until no thread is inside, for a transaction or a statement that runs: as a rule for
less than 50 ms. What waits for its turn to write, or for its next statement as a coroutine with an open connection
does, is not inside.

Then the child closes all connections that it inherited, those that read too. Left open they would do harm: SQLite
keeps its locks on a file for the whole process, and would take those of the parent for the child's own. The parent
would see nobody else, and remove the journal that the child writes to. Closing frees no lock of the parent's, since
POSIX locks are a process's.

Where a thread is inside after all, because the disk hangs or a search takes long, nothing can be closed, and the child
must not open any file on which there is a connection.
"""

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol

from ._files import identity

Identity = tuple[int, int]
_PATIENCE: Final = 0.5
# What takes longer than this hangs, and a fork does not wait for it again each time.
_HANGS: Final = 1.0
_SHORT: Final = 0.05


class Inherited(Protocol):
    """What a child must let go of."""

    def forget(self, *, safe: bool) -> Identity | None:
        """Let go of it; the file that must not be opened here, where it was not `safe` to close it."""


def is_forking(seconds: float) -> bool:
    """Whether the last fork was within so many seconds: in a series of them there may soon be another."""
    return time.monotonic() - _last < seconds


class _Activity:
    """Who is inside SQLite, and since when. Both locks are held while the process forks."""

    def __init__(self) -> None:
        self.door = threading.Lock()
        self.lock = threading.Lock()
        self.inside: dict[object, float] = {}
        self.own = threading.local()


_activity = _Activity()
_last = -1e9
_watched: "weakref.WeakSet[Inherited]" = weakref.WeakSet()
# Never collected: that would close what is in use.
_kept: Final[list[Inherited]] = []
_forbidden: Final[set[Identity]] = set()


@contextmanager
def inside_sqlite() -> Iterator[None]:
    """Around all that runs statements; a fork waits for its end, and meanwhile nobody else goes in."""
    activity, token = _activity, object()
    depth = getattr(activity.own, "depth", 0)
    if not depth:  # who is inside already must not wait for a fork that waits for it
        activity.door.acquire()
    try:
        with activity.lock:
            activity.inside[token] = time.monotonic()
    finally:
        if not depth:
            activity.door.release()
    activity.own.depth = depth + 1
    try:
        yield
    finally:
        activity.own.depth -= 1
        # In a child that was forked from within, this is another one than now counts.
        with activity.lock:
            del activity.inside[token]


def watch(resource: Inherited) -> None:
    """Have `forget` called in each child."""
    _watched.add(resource)


def unwatch(resource: Inherited) -> None:
    """It is closed: a child has nothing to let go of."""
    _watched.discard(resource)


def is_forbidden(file: Identity | None) -> bool:
    """Whether this process was forked in the middle of work on that file, so that it must not open it."""
    return file in _forbidden


class Connection(sqlite3.Connection):
    """A connection that a child closes."""

    def __init__(self, path: Path, address: str, **options: Any) -> None:
        self._path = path
        with inside_sqlite():
            watch(self)
            super().__init__(address, **options)

    def close(self) -> None:
        with inside_sqlite():
            super().close()
            unwatch(self)

    def forget(self, *, safe: bool) -> Identity | None:
        if not safe:
            return identity(self._path)
        with suppress(sqlite3.Error):  # it was about to open, or to be closed
            super().close()
        return None


def _before() -> None:
    began = time.monotonic()
    _activity.door.acquire()
    _activity.lock.acquire()
    while _activity.inside:
        now, oldest = time.monotonic(), min(_activity.inside.values())
        if now - began > (_SHORT if now - oldest > _HANGS else _PATIENCE):
            break
        _activity.lock.release()
        time.sleep(0.0005)
        _activity.lock.acquire()


def _after_in_parent() -> None:
    global _last  # noqa: PLW0603  # one for each process
    _last = time.monotonic()
    _activity.lock.release()
    _activity.door.release()


def _after_in_child() -> None:
    global _activity  # noqa: PLW0603  # one for each process
    safe = not _activity.inside
    # A thread that was inside is not there; who forked from within gives back its own.
    _activity.lock.release()
    _activity.door.release()
    _activity = _Activity()
    for resource in list(_watched):
        file = resource.forget(safe=safe)
        if not safe:
            _kept.append(resource)
        if file is not None:
            _forbidden.add(file)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
