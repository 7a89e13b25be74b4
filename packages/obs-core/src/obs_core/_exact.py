"""Updates that lose nothing: by the GIL where there is one, by a lock where there is none."""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from threading import RLock
from typing import Any, Final, Protocol, TypeVar

M = TypeVar("M", bound=Callable[..., Any])

# Under a GIL threads switch only where something is called, so `self._value += amount` is exact when
# nothing is called between the load of the old value and the store of the new one.
GIL: Final[bool] = getattr(sys, "_is_gil_enabled", lambda: True)()


def new_lock() -> Any:
    """A lock for one instrument or queue, None where the GIL does its work.

    It may be taken again by its holder: a signal handler may count in the middle of a count.
    """
    return None if GIL else RLock()


class Asked(Protocol):
    """What gives values when it is asked, and may take its time."""

    def ask(self) -> None:
        """Begin; the answers are read later."""


class Tally:
    """What a family counts of the values that its series were given: seldom, and exactly.

    `functions` are those that give values of its series.
    """

    __slots__ = ("_lock", "failed", "functions", "ignored")

    def __init__(self) -> None:
        self.functions: Asked | None = None
        self.reset()

    def reset(self) -> None:
        """Begin from zero, as a forked child does."""
        self._lock = new_lock()
        self.ignored = 0
        self.failed = 0

    def ignore(self) -> None:
        """NaN was not counted."""
        with self._lock or nullcontext():
            self.ignored += 1

    def fail(self) -> None:
        """A function of a gauge raised, or took too long."""
        with self._lock or nullcontext():
            self.failed += 1


def exact(method: M) -> M:
    """The method as it is, or on a free-threaded build under the lock `self._lock`."""
    return method if GIL else locked(method)


def locked(method: M) -> M:
    """The method under the lock `self._lock`."""

    @wraps(method)
    def under_lock(self: Any, *args: Any, **named: Any) -> Any:
        with self._lock:
            return method(self, *args, **named)

    return under_lock  # type: ignore[return-value]
