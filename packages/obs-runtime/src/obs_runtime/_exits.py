"""The last write: from every hook that runs when a process ends.

Hooks are the process's, so there is one of each, and runtimes come and go.
"""

import atexit
import multiprocessing
import multiprocessing.util
import signal
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty
from time import monotonic
from types import FrameType
from typing import Any, Final, Protocol

from ._bell import Answer

_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGQUIT", "SIGINT") if hasattr(signal, name)
)
_LAST: Final = 1.0
_LOOK_AGAIN: Final = 0.02


class Exiting(Protocol):
    signals: bool

    def hurry(self) -> None:
        """The process begins to stop; called in a signal handler."""

    def ask(self, *, last: bool = False) -> Answer | None:
        """Ask for a write, the `last` one; called in a signal handler. None where nothing runs."""

    def last_write(self) -> None:
        """Write, and wait for it for at most a second."""


class Leaving(Protocol):
    def stop(self, timeout: float) -> bool:
        """End after a last pass; whether it ended in time."""


class _Hooks:
    """The hooks of this process."""

    def __init__(self) -> None:
        self.runtimes: weakref.WeakSet[Exiting] = weakref.WeakSet()
        # Their threads keep them, for as long as they run.
        self.leaving: weakref.WeakSet[Leaving] = weakref.WeakSet()
        self.next_look = 0.0
        self._finalizer: multiprocessing.util.Finalize | None = None

    def finalize(self) -> None:
        """In a child of multiprocessing atexit does not run, but finalizers that were made in it do."""
        known = self._finalizer
        if multiprocessing.parent_process() is not None and not (known and known.still_active()):
            self._finalizer = multiprocessing.util.Finalize(None, self.last_write, exitpriority=10)

    def last_write(self) -> None:
        for runtime in list(self.runtimes):
            runtime.last_write()
        self.let_leave(monotonic() + _LAST)

    def let_leave(self, deadline: float) -> None:
        """Wait for those whose runtimes are gone."""
        for background in list(self.leaving):
            background.stop(max(deadline - monotonic(), 0.0))


_hooks: Final = _Hooks()
# First in, last out: at import, so that what others do at exit is still written.
atexit.register(_hooks.last_write)
multiprocessing.util.register_after_fork(_hooks, _Hooks.finalize)


def watch(runtime: Exiting) -> None:
    """Call this runtime at the end of the process, while it lives."""
    _hooks.runtimes.add(runtime)


def leave(background: Leaving) -> None:
    """Let it end by itself; at the end of the process it is waited for."""
    _hooks.leaving.add(background)


def due() -> bool:
    """Whether `install` may have something to do: cheap enough to be asked at each request."""
    return monotonic() >= _hooks.next_look and threading.get_ident() == threading.main_thread().ident


def install() -> None:
    """Chain our handlers before those that are there now; in other threads than the main one that cannot be.

    Servers set theirs late, and put back what was there: so this is called at construction and at each start.
    """
    _hooks.finalize()
    if threading.get_ident() != threading.main_thread().ident:
        return
    _hooks.next_look = monotonic() + _LOOK_AGAIN
    if not any(runtime.signals for runtime in list(_hooks.runtimes)):
        return
    for number in _SIGNALS:
        previous = signal.getsignal(number)
        # None came from C. Python's own SIGINT is left alone: asyncio replaces that one alone, and atexit
        # runs there anyway.
        if previous is None or previous is signal.SIG_IGN or isinstance(previous, _Chained):
            continue
        if previous is signal.SIG_DFL and _caught_by_c(number):
            continue
        if number == signal.SIGINT and previous in (signal.default_int_handler, signal.SIG_DFL):
            continue
        # Where the interpreter is not the main one, or the server forbids it, there are the other hooks.
        with suppress(ValueError):
            signal.signal(number, _Chained(previous))


def _caught_by_c(number: int) -> bool:
    """Whether there is a handler that Python does not know of, as `faulthandler.register` sets one."""
    try:
        status = Path("/proc/self/status").read_text("ascii", "replace")
    except OSError:
        return False
    caught = status.partition("SigCgt:")[2].split(maxsplit=1)
    return bool(caught) and bool(int(caught[0], 16) >> (number - 1) & 1)


def look_again() -> None:
    """In a forked child: a server may reset all signals after this, and who leaves does so in the parent."""
    _hooks.leaving.clear()
    _hooks.next_look = 0.0


class _Chained:
    """Our handler, before another."""

    def __init__(self, previous: "Callable[[int, FrameType | None], Any] | int") -> None:
        self._previous = previous

    def __call__(self, number: int, frame: FrameType | None) -> None:
        runtimes = [runtime for runtime in list(_hooks.runtimes) if runtime.signals]
        for runtime in runtimes:
            runtime.hurry()
        if callable(self._previous):
            self._previous(number, frame)
            return
        # The default action ends the process at once: first the last write.
        deadline = monotonic() + _LAST
        for answer in [runtime.ask(last=True) for runtime in runtimes]:
            wait_for(answer, deadline - monotonic())
        _hooks.let_leave(deadline)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def wait_for(answer: Answer | None, seconds: float) -> bool:
    """Whether all was stored, as far as that is known in time."""
    if answer is None:
        return False
    try:
        return answer.get(timeout=max(seconds, 0.0))
    except Empty:
        return False
