"""For servers on asyncio: waiting that ends when the process begins to stop, and scrapes beside the loop.

Nothing else in the core imports it.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from .._ports import Runtime
from ._messages import Response, problem

# Prometheus itself gives up after 10 s.
SCRAPE_SECONDS: Final = 5.0
_LATER: Final = (("retry-after", "5"),)
_AT_ONCE: Final = 8
# When the process stops, what has not begun to be answered is waited for so long.
_LAST_SECONDS: Final = 0.5


class Stopping:
    """What `Endpoints.logs` takes as `pause`: waits, and tells whether the process is stopping or the reader gone."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    async def __call__(self, seconds: float) -> bool:
        if seconds <= 0:
            await asyncio.sleep(0)
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._event.wait()
        return self._event.is_set()

    async def wait(self) -> None:
        """Return when it begins."""
        await self._event.wait()

    async def answered(self, work: Coroutine[Any, Any, Response]) -> Response:
        """What `work` gives; 503 where it hangs while the process stops: the server would wait for ever."""
        answering, begun = asyncio.ensure_future(work), asyncio.ensure_future(self.wait())
        try:
            await asyncio.wait((answering, begun), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((answering,), timeout=_LAST_SECONDS)
            if answering.done():
                return answering.result()
            return problem(503, "the logs cannot be read now: try again", extra=_LATER)
        finally:
            answering.cancel()
            begun.cancel()

    def begin(self) -> None:
        """From any thread; a loop that is closed has no stream left."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._event.set)


@contextmanager
def stopping(runtime: Runtime) -> Iterator[Stopping]:
    """Inside the block, know when the process begins to stop."""
    pause = Stopping()
    forget = runtime.on_stopping(pause.begin)
    try:
        yield pause
    finally:
        forget()


class Scrapes:
    """Scrapes read files and wait for locks: each in a thread of its own, which keeps neither the loop nor the exit."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._room = threading.Semaphore(_AT_ONCE)

    async def run(self, work: Callable[[], Response]) -> Response:
        """What `work` gives; 503 where it takes too long, or as many as may run are running already."""
        try:
            return await self._run(work)
        except TimeoutError as error:
            self._runtime.report("metrics", error)
            return problem(503, "the metrics cannot be read in time: try again", extra=_LATER)

    async def _run(self, work: Callable[[], Response]) -> Response:
        if not self._room.acquire(blocking=False):
            raise TimeoutError(f"{_AT_ONCE} scrapes are under way already")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Response] = loop.create_future()

        def give(result: Response | None, error: BaseException | None) -> None:
            if answer.done():
                return
            if result is not None:
                answer.set_result(result)
            elif error is not None:
                answer.set_exception(error)

        def scrape() -> None:
            result = error = None
            try:
                result = work()
            except BaseException as raised:  # it goes on in the loop
                error = raised
            finally:
                self._room.release()
                with suppress(RuntimeError):  # a loop that is closed waits for nothing
                    loop.call_soon_threadsafe(give, result, error)

        threading.Thread(target=scrape, name="obs-scrape", daemon=True).start()
        try:
            async with asyncio.timeout(SCRAPE_SECONDS):
                return await answer
        except TimeoutError:
            raise TimeoutError(f"a scrape takes over {SCRAPE_SECONDS} s") from None
