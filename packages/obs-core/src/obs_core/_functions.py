"""Functions of the host that give the value of a gauge: asked beside, so that none of them holds a collection up."""

import os
import sys
from collections.abc import Callable
from queue import SimpleQueue
from threading import Event, Thread, get_ident
from time import monotonic
from typing import Final
from weakref import WeakSet

from ._attributes import text_of
from ._exact import Tally

PATIENCE: Final = 0.25
_MINUTE: Final = 60.0
_IDLE: Final = 2

Job = Callable[[], None]
_idle: list["SimpleQueue[Job]"] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)


class Question:
    """A function, what it answered last, and whether it is still being asked.

    All that are to be collected are asked first and then waited for, so they have 0.25 s together. One that takes
    longer is waited for once; from then on it is asked beside, and what it answered last is given. One that never
    answers keeps one thread, and its gauge is NaN. `last` is the last answer.
    """

    def __init__(
        self, function: Callable[[], object], number: Callable[[object], float], tally: Tally
    ) -> None:
        self._function = function
        self._number = number
        self._tally = tally
        self.last = float("nan")
        self._asked_in = 0
        self._asked_by = 0
        self._unread_in = 0
        self._answered = Event()
        self._until = 0.0
        self._slow = False
        self._said = -_MINUTE
        if tally.questions is None:
            tally.questions = WeakSet()
        tally.questions.add(self)

    def ask(self) -> None:
        """Have the function called in a thread beside, unless it is being called already."""
        here = os.getpid()
        self._unread_in = here
        if self._asked_in == here:
            return
        self._asked_in, self._answered = here, Event()
        self._until = monotonic() + PATIENCE
        answered = self._answered
        try:
            _beside(lambda: self._ask(answered))
        except RuntimeError:  # no thread can be started: the interpreter is ending, or there are too many
            self._asked_in = 0
            answered.set()

    def answer(self) -> float:
        """What the function says now, or said last where it takes its time."""
        if self._unread_in != os.getpid():
            self.ask()
        self._unread_in = 0
        if self._asked_by == get_ident():  # it collects itself: its answer is not there yet
            return self.last
        if not self._slow and not self._answered.wait(max(0.0, self._until - monotonic())):
            self._slow = True
            self.last = float("nan")
            self._failed(f"took over {PATIENCE} s: its gauge shows what it answered last")
        return self.last

    def _ask(self, answered: Event) -> None:
        self._asked_by = get_ident()
        try:
            self.last = self._number(self._function())
        except (
            BaseException
        ) as error:  # the host's function, in a thread of ours: whatever it raises ends here
            self.last = float("nan")
            self._failed(f"failed, its gauge is NaN: {type(error).__name__}: {text_of(error)}")
        finally:
            self._asked_in = self._asked_by = 0
            answered.set()

    def _failed(self, what: str) -> None:
        self._tally.fail()
        now = monotonic()
        if now - self._said >= _MINUTE:
            self._said = now
            name = getattr(self._function, "__qualname__", type(self._function).__name__)
            try:
                sys.stderr.write(f"obs: the function {name} of a gauge {what}\n")
            except Exception:  # stderr may be closed, or the host's: the count stays
                return


def _beside(job: Job) -> None:
    """Have it done by a thread that waits for work, or by a new one."""
    try:
        inbox = _idle.pop()
    except IndexError:
        inbox = SimpleQueue()
        Thread(target=_work, args=(inbox,), name="obs-gauges", daemon=True).start()
    inbox.put(job)


def _work(inbox: "SimpleQueue[Job]") -> None:
    while True:
        inbox.get()()
        if len(_idle) >= _IDLE:
            return
        _idle.append(inbox)
