"""Who wants to know that the process begins to stop: endless streams, which no server ends by itself."""

from collections.abc import Callable
from itertools import count
from threading import Lock
from typing import Final

Report = Callable[[str, BaseException], None]


class Stopping:
    """Callbacks that are each called once, when `begin` is; later ones at once."""

    _callbacks: dict[int, Callable[[], None]]

    def __init__(self, report: Report) -> None:
        self._report: Final = report
        self.forget()

    def add(self, callback: Callable[[], None]) -> Callable[[], None]:
        """What is returned takes the callback back."""
        with self._lock:
            begun = self._begun
            number = next(self._numbers)
            if not begun:
                self._callbacks[number] = callback
        if begun:
            self._call(callback)
        return lambda: self._remove(number)

    def begin(self) -> None:
        """Call them; again is nothing."""
        with self._lock:
            self._begun = True
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
        for callback in callbacks:
            self._call(callback)

    def again(self) -> None:
        """The process goes on after all, as after `start()`."""
        with self._lock:
            self._begun = False

    def forget(self) -> None:
        """As a forked child does: the streams are its parent's, and the lock may be held for ever."""
        self._lock = Lock()
        self._numbers = count()
        self._begun = False
        self._callbacks = {}

    def _remove(self, number: int) -> None:
        with self._lock:
            self._callbacks.pop(number, None)

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as error:  # one stream that fails must not keep the others from their end
            self._report("stopping", error)
