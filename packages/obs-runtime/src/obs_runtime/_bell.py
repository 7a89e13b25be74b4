"""What wakes the background, and how it answers."""

from asyncio import AbstractEventLoop, Future
from collections.abc import Callable
from queue import Empty, SimpleQueue

Answer = SimpleQueue[bool]


class Bell:
    """Wakes the background, safe in signal handlers; what is asked waits for the next one where there is none."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[tuple[Answer, bool]] = SimpleQueue()
        self._ring: Callable[[], None] = _silent
        self._rung = False
        self.written = 0.0
        # After a signal, until when the process is taken to stop by it.
        self.hurried_until = 0.0

    def ring(self) -> None:
        """Wake it soon. Once is enough for all until it has woken: an ERROR costs next to nothing."""
        if not self._rung:
            self._rung = True
            self._ring()

    def heard(self) -> None:
        """It is awake, and sees all that came before."""
        self._rung = False

    def ask(self, *, last: bool = False) -> Answer:
        """Ask for a pass, the `last` one where the process ends once it is answered.

        The answer, whether all was stored, comes into a queue of its own: an old one must not end a new wait.
        """
        answer: Answer = SimpleQueue()
        self._asked.put((answer, last))
        self.ring()
        return answer

    @property
    def waited_for(self) -> bool:
        return not self._asked.empty()

    def answer_to(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._rung = False

    def asked(self) -> tuple[list[Answer], bool]:
        """Where the answers go, and whether it is the last pass that one of them asked for."""
        answers: list[Answer] = []
        last = False
        while True:
            try:
                answer, is_last = self._asked.get_nowait()
            except Empty:
                return answers, last
            answers.append(answer)
            last = last or is_last


def _silent() -> None:
    return


class Alarm:
    """What one task of a loop waits for; `asyncio.wait_for` would make a task of its own for it, each second."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: Future[None] | None = None
        self.is_set = False

    def set(self) -> None:
        """From the loop's own thread."""
        self.is_set = True
        self._wake()

    def clear(self) -> None:
        self.is_set = False

    async def wait(self, seconds: float) -> bool:
        """Whether it is set, after so long at most."""
        if not self.is_set:
            self._waiting = self._loop.create_future()
            timer = self._loop.call_later(seconds, self._wake)
            try:
                await self._waiting
            finally:
                timer.cancel()
        return self.is_set

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
