"""Functions of the host that give the value of a gauge: asked beside, so that none of them holds a collection up."""

import os
import sys
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Event, RLock, Thread, get_ident
from time import monotonic
from typing import Final
from weakref import WeakSet

from ._attributes import text_of
from ._exact import Tally

PATIENCE: Final = 0.25
# Of one family: a collection of some thousand quick functions is in time, and those that hang hold up no other family.
AT_ONCE: Final = 32
_MINUTE: Final = 60.0
_IDLE: Final = 2

Job = Callable[[], None]
_idle: list["SimpleQueue[Job]"] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)


class Functions:
    """Those of one family. At most 32 of them are being called at once; the others wait for their turn."""

    def __init__(self) -> None:
        self._questions: WeakSet[Question] = WeakSet()
        self._said = -_MINUTE
        self._renew()

    def _renew(self) -> None:
        self._process = os.getpid()
        self._lock = RLock()  # a signal handler may collect in the middle of a collection
        self._running = 0
        self._waiting: deque[Job] = deque()

    @property
    def lock(self) -> RLock:
        """That of this process: a parent's may have been held by a thread that a forked child has not."""
        if self._process != os.getpid():
            self._renew()
        return self._lock

    def add(self, question: "Question") -> None:
        """It is asked with the others from now on, for as long as somebody holds it."""
        with self.lock:
            self._questions.add(question)

    def ask(self) -> None:
        """Begin to ask all of them."""
        with self.lock:
            questions = list(self._questions)
        for question in questions:
            question.ask()

    def call(self, job: Job) -> None:
        """Have it done in a thread beside. Raises `RuntimeError` where none can be started."""
        with self.lock:
            if self._running >= AT_ONCE:
                self._waiting.append(job)
                return
            self._running += 1
        try:
            _beside(lambda: self._work(job))
        except RuntimeError:
            with self.lock:
                self._running -= 1
            raise

    def say(self, what: str) -> None:
        """One line a minute on stderr."""
        now = monotonic()
        if now - self._said < _MINUTE:
            return
        self._said = now
        try:
            sys.stderr.write(f"obs: {what}\n")
        except Exception:  # stderr may be closed, or the host's: the count stays
            return

    def _work(self, job: Job) -> None:
        while True:
            job()
            with self.lock:
                if not self._waiting:
                    self._running -= 1
                    return
                job = self._waiting.popleft()


class Question:
    """A function, what it answered last, and whether it is still being asked.

    All that are to be collected are asked first and then waited for, so they have 0.25 s together. One that takes
    longer is waited for once; from then on it is asked beside, and what it answered last is given. One that never
    answers keeps one thread, and its gauge is NaN. `last` is the last answer.
    """

    def __init__(
        self,
        function: Callable[[], object],
        number: Callable[[object], float],
        tally: Tally,
        functions: Functions,
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
        self._all = functions
        functions.add(self)

    def ask(self) -> None:
        """Have the function called in a thread beside, unless it is being called already."""
        here = os.getpid()
        with self._all.lock:
            self._unread_in = here
            if self._asked_in == here:
                return
            self._asked_in, self._answered = here, Event()
            self._until = monotonic() + PATIENCE
            answered = self._answered
        try:
            self._all.call(lambda: self._ask(answered))
        except RuntimeError:  # no thread can be started: the interpreter is ending, or there are too many
            self._tally.fail()
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
        name = getattr(self._function, "__qualname__", type(self._function).__name__)
        self._all.say(f"the function {name} of a gauge {what}")


def question_of(function: Callable[[], object], number: Callable[[object], float], tally: Tally) -> Question:
    """It is asked together with the other functions of its family."""
    if not isinstance(tally.functions, Functions):
        tally.functions = Functions()
    return Question(function, number, tally, tally.functions)


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
