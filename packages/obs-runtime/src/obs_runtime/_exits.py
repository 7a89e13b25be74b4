"""The last write: from every hook that runs when a process ends."""

import atexit
import multiprocessing.util
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGQUIT", "SIGINT") if hasattr(signal, name)
)
Handler = Callable[[int, FrameType | None], Any]


class Exits:
    """Calls `flush` at exit, at SIGTERM and SIGQUIT, and at SIGINT where it is not Python's; then what was there."""

    def __init__(self, stopping: Callable[[], None], flush: Callable[[], object], *, signals: bool) -> None:
        self._stopping = stopping
        self._flush = flush
        self._signals = signals
        self._ours: dict[int, Handler] = {}
        atexit.register(flush)
        multiprocessing.util.register_after_fork(self, Exits._in_child)

    def install(self) -> None:
        """Chain our handlers before those that are there now; in other threads than the main one, do nothing."""
        if not self._signals or threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            previous = signal.getsignal(number)
            # None came from C, and Python's own SIGINT is left alone: asyncio replaces that one alone,
            # and atexit runs there anyway.
            if previous is None or previous is signal.SIG_IGN or previous is self._ours.get(number):
                continue
            if number == signal.SIGINT and previous in (signal.default_int_handler, signal.SIG_DFL):
                continue
            self._chain(number, previous)

    def _in_child(self) -> None:
        # atexit does not run in a multiprocessing child; a finalizer does, if it was made in the child.
        multiprocessing.util.Finalize(None, self._flush, exitpriority=10)

    def _chain(self, number: int, previous: Any) -> None:
        def handle(signum: int, frame: FrameType | None) -> None:
            self._stopping()
            if callable(previous):
                previous(signum, frame)
                return
            # The default action ends the process at once: first the last write, bounded by one second.
            self._flush()
            signal.signal(signum, signal.SIG_DFL)
            signal.raise_signal(signum)

        signal.signal(number, handle)
        self._ours[number] = handle
