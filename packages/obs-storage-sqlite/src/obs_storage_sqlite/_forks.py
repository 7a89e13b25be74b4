"""Forks: none cuts SQLite in two, and a child uses nothing of its parent's.

SQLite's own mutexes are copied as they are: a fork while another thread holds one would hang the child at its
first statement. So a fork waits, a little, until no thread is inside.
"""

import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

_PATIENCE: Final = 0.05


class Inherited(Protocol):
    """What a child must let go of, without closing what is its parent's."""

    def forget(self) -> None: ...


class _Activity:
    """How many threads are inside SQLite. The lock is held while the process forks."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0


_activity = _Activity()
_watched: "weakref.WeakSet[Inherited]" = weakref.WeakSet()
# Never collected: closing a connection of the parent's in the child would let go of the parent's locks.
_kept: Final[list[Inherited]] = []


@contextmanager
def inside_sqlite() -> Iterator[None]:
    """Around all that runs statements; a fork waits for its end, for at most 50 ms."""
    activity = _activity
    with activity.lock:
        activity.inside += 1
    try:
        yield
    finally:
        # In a child that was forked from within, this is another one than now counts.
        with activity.lock:
            activity.inside -= 1


def watch(resource: Inherited) -> None:
    """Have `forget` called in each child."""
    _watched.add(resource)


def _before() -> None:
    deadline = time.monotonic() + _PATIENCE
    _activity.lock.acquire()
    while _activity.inside and time.monotonic() < deadline:
        _activity.lock.release()
        time.sleep(0.0005)
        _activity.lock.acquire()


def _after_in_parent() -> None:
    _activity.lock.release()


def _after_in_child() -> None:
    global _activity  # noqa: PLW0603  # one for each process
    _activity.lock.release()
    _activity = _Activity()
    for resource in list(_watched):
        _kept.append(resource)
        resource.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
