"""Updates that lose nothing: by the GIL where there is one, by a lock where there is none."""

import sys
from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Any, Final, TypeVar

M = TypeVar("M", bound=Callable[..., Any])

# Under a GIL threads switch only where something is called, so `self._value += amount` is exact when
# nothing is called between the load of the old value and the store of the new one.
GIL: Final[bool] = getattr(sys, "_is_gil_enabled", lambda: True)()


def new_lock() -> Any:
    """A lock for one instrument or queue, None where the GIL does its work.

    It may be taken again by its holder: a signal handler may count in the middle of a count.
    """
    return None if GIL else RLock()


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
