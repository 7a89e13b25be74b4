"""The thread: a daemon with an event loop of its own, woken through a queue that signal handlers may use."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from queue import Empty, SimpleQueue
from typing import Final

Answer = SimpleQueue[bool]
# A signal was seen: from then on there is a pass each 20 ms until the process ends, since a busy worker serves on.
_HURRY: Final = 0.02
# ERROR entries are written within 100 ms of the first; what comes meanwhile goes along.
_GATHER: Final = 0.02


class Background:
    """Calls `open`, then `tick` each `interval` seconds and whenever it is woken, then `close`."""

    def __init__(
        self,
        tick: Callable[[bool], Awaitable[bool]],
        begin: Callable[[], Awaitable[None]],
        end: Callable[[], Awaitable[None]],
        stopping: Callable[[], None],
        interval: float,
    ) -> None:
        self._tick = tick
        self._begin = begin
        self._end = end
        self._tell_stopping = stopping
        self._interval = interval
        self._hurried = False
        self._wakes: SimpleQueue[Answer | None] = SimpleQueue()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="obs-background", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Ask for a pass soon; safe in signal handlers and everywhere else."""
        self._wakes.put(None)

    def hurry(self) -> None:
        """The process begins to stop; safe in signal handlers."""
        self._hurried = True
        self.wake()

    def flush(self, timeout: float) -> bool:
        """Ask for a pass now and wait for it; whether all was stored in time."""
        # An answer of its own for each request: an old answer must not end a new wait.
        answer: Answer = SimpleQueue()
        self._wakes.put(answer)
        try:
            return answer.get(timeout=timeout)
        except Empty:
            return False

    def stop(self, timeout: float) -> bool:
        """End after a last pass; whether it ended in time."""
        self._stopping = True
        self.wake()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        await self._begin()
        told = False
        while not self._stopping:
            answers = self._wait()
            if self._hurried and not told:
                told = True
                self._tell_stopping()
            done = await self._tick(bool(answers))
            for answer in answers:
                answer.put(done)
        await self._tick(True)
        await self._end()

    def _wait(self) -> list[Answer]:
        """Sleep until the next pass; what is to be answered after it. The loop has nothing else to do."""
        answers: list[Answer] = []
        deadline = time.monotonic() + (min(_HURRY, self._interval) if self._hurried else self._interval)
        while (left := deadline - time.monotonic()) > 0 and not self._stopping:
            try:
                request = self._wakes.get(timeout=left)
            except Empty:
                break
            if request is not None:
                answers.append(request)
                deadline = 0.0
            else:
                deadline = min(deadline, time.monotonic() + _GATHER)
        return answers
