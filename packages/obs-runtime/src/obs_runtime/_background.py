"""The thread: a daemon with an event loop of its own, in which writing and keeping go on apart from each other."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import thread as _registers_fork_hooks  # noqa: F401  # see below
from contextlib import AbstractContextManager, suppress
from time import monotonic
from typing import Final, Protocol

from ._bell import Alarm, Bell

# asyncio imports it when it is first needed. In our thread, while another forks, one half of its hooks would run.

# After a signal there is a pass each 20 ms until the process ends: a busy worker serves on for seconds.
_HURRY: Final = 0.02
# ERROR entries are written within 100 ms of the first; what comes meanwhile goes along.
# A host that lives on so long after a signal does not stop by it.
_PATIENT: Final = 120.0
_GATHER: Final = 0.02
_SECOND: Final = 1.0
_SHOW_HURRY: Final = 0.2
# In a series of forks nothing is opened for so long, as the next would have to close it again.
_SETTLE: Final = 0.05
# How long a last write may take before the counts are shown all the same, and wait for a storage that opens.
_PATIENCE: Final = 0.5
# The same for the end of a runtime, which takes 2 s.
_END: Final = 1.8


class Work(Protocol):
    """What is done; nothing of it raises."""

    @property
    def is_opening(self) -> bool:
        """Whether the storage is about to open, which may take for ever."""

    @property
    def unsettled(self) -> bool:
        """Whether a pass is due at once, and again, since logging is being configured anew."""

    async def write(self, *, asked: bool, enough: Callable[[], bool]) -> bool:
        """Store what is queued, until `enough` is true; False where something is left. `asked`: try in any case."""

    async def opened(self, seconds: float) -> bool:
        """Whether the storage, where it was about to open, has done so, or failed; waits at most so long."""

    async def give_up(self) -> None:
        """The end has come: forget, and tell of, what could not be stored."""

    async def keep(self) -> None:
        """History and retention, where this worker does them for the service."""

    async def close(self) -> None:
        """Let go of the storage."""

    def publish(self) -> None:
        """Show this worker's values to the others."""

    def look_round(self) -> None:
        """Publish, and see to dead workers and to what others changed in this process."""

    def end_capture(self) -> None:
        """Take no more in."""

    def begin_to_stop(self) -> None:
        """The process begins to stop."""

    def go_on(self) -> None:
        """It did not stop after all."""

    def silence(self) -> AbstractContextManager[None]:
        """What this thread logs inside is not captured."""


class Background:
    """Writes each `interval` seconds and whenever it is woken, keeps each second.

    One that follows another, which had to stop for a fork, begins once that has ended.
    """

    def __init__(
        self,
        work: Work,
        bell: Bell,
        interval: float,
        *,
        after: "Background | None" = None,
        settle: bool = False,
    ) -> None:
        self._work = work
        self._bell = bell
        self._interval = interval
        self._after = after
        self._settle = settle
        self._lock = threading.Lock()
        self._ending = False
        self._pausing = False
        self._left = self._late = False
        self._end = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="obs-background", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def hurry(self) -> None:
        """The process begins to stop; safe in signal handlers."""
        self._bell.hurried_until = monotonic() + _PATIENT
        self._bell.ring()
        loop = self._loop
        if loop is not None:
            # Streams end even while a write hangs.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._work.begin_to_stop)

    def stop(self, timeout: float) -> bool:
        """End after a last pass; whether it ended in time."""
        self._end = monotonic() + _END
        self._ending = True
        ended = self._join(timeout)
        with self._lock:
            self._late = not ended
        return ended

    def pause(self, timeout: float) -> bool:
        """End soon, before a fork; what is queued stays so."""
        self._pausing = self._ending = True
        return self._join(timeout)

    def resume(self) -> bool:
        """Go on after a `pause` that did not come to pass in time; False where it did."""
        with self._lock:
            if self._left:
                return False
            self._pausing = self._ending = False
            return True

    def _join(self, timeout: float) -> bool:
        self._bell.ring()
        # A callback of ours may stop or fork.
        if threading.current_thread() is self._thread:
            return False
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        if self._after is not None:
            self._after._thread.join()
        # Not the host's policy, which may bring another loop.
        with self._work.silence(), asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        woken, ended = Alarm(loop), Alarm(loop)

        def ring() -> None:
            with suppress(RuntimeError):  # closed meanwhile: who asks waits for the next background
                loop.call_soon_threadsafe(woken.set)

        self._bell.answer_to(ring)
        self._loop = loop
        self._after = None
        if self._settle and not (self._ending or self._bell.waited_for):
            await woken.wait(_SETTLE)
        looking = asyncio.create_task(self._look_round())
        keeping = asyncio.create_task(self._keep(ended))
        await self._write(woken)
        looking.cancel()
        ended.set()
        await self._finish()
        # Never cancelled: a storage that is left in the middle of a read may keep the process from ending.
        await keeping
        await self._work.close()

    async def _write(self, woken: Alarm) -> None:
        while True:
            overdue = monotonic() - self._bell.written > self._interval
            if not self._pausing or overdue or self._bell.waited_for:
                await self._pass()
            if self._leave():
                return
            await self._wait(woken)
            if self._hurried and monotonic() > self._bell.hurried_until:
                self._bell.hurried_until = 0.0
                self._work.go_on()
            if self._hurried:
                self._work.begin_to_stop()

    async def _pass(self) -> None:
        answers, last = self._bell.asked()
        until = monotonic() + _PATIENCE
        # No fork cuts the last one short: nobody may be there for another.
        writing = asyncio.ensure_future(
            self._work.write(asked=bool(answers), enough=lambda: self._pausing and not last)
        )
        if answers:
            # Who asks is at the end, perhaps: a storage that hangs must not keep the counts from the board.
            await asyncio.wait([writing], timeout=_PATIENCE)
            self._work.publish()
        done = await writing
        if last and not done and not self._pausing:
            done = await self._try_again_or_give_up(until)
            self._work.publish()
        self._bell.written = monotonic()
        for answer in answers:
            answer.put(done)

    async def _wait(self, woken: Alarm) -> None:
        """Sleep until the next pass, or until somebody wakes us."""
        hurried = self._hurried or self._work.unsettled
        interval = min(_HURRY, self._interval) if hurried else self._interval
        if not await woken.wait(interval):
            return
        if not (self._ending or self._hurried or self._bell.waited_for):
            await asyncio.sleep(_GATHER)
        self._bell.heard()
        woken.clear()

    async def _look_round(self) -> None:
        while True:
            self._work.look_round()
            await asyncio.sleep(_SHOW_HURRY if self._hurried else _SECOND)

    async def _keep(self, ended: Alarm) -> None:
        while not ended.is_set:
            await self._work.keep()
            await ended.wait(_SECOND)

    async def _finish(self) -> None:
        self._work.publish()
        if not self._pausing:
            answers, _ = self._bell.asked()
            done = await self._work.write(asked=True, enough=lambda: False)
            self._end_capture()
            # What was logged while that was written, which a busy disk may take long for.
            done = done and await self._work.write(asked=True, enough=lambda: False)
            done = done or await self._try_again_or_give_up(self._end)
            for answer in answers:
                answer.put(done)
        self._work.publish()

    async def _try_again_or_give_up(self, until: float) -> bool:
        """The end has come: a storage that opens until then gets what is left; without one it is lost."""
        opened = await self._work.opened(until - monotonic())
        if opened and await self._work.write(asked=True, enough=lambda: False):
            return True
        await self._work.give_up()
        return False

    def _end_capture(self) -> None:
        # Not where `stop` waits no more: the runtime may have been started again.
        with self._lock:
            if not self._late:
                self._work.end_capture()

    def _leave(self) -> bool:
        with self._lock:
            # For a fork only with a storage that is open or closed: one that opens for ever would keep the next one.
            # And not from a signal handler that waits for its last write, perhaps inside the fork.
            waited_for = self._hurried and self._bell.waited_for
            self._left = self._ending and not (self._pausing and (self._work.is_opening or waited_for))
            return self._left

    @property
    def _hurried(self) -> bool:
        return self._bell.hurried_until > 0
