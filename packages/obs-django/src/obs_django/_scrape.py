"""A scrape under ASGI: it reads files and waits for locks, so it is done beside the server's loop."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from obs_core.http import Response

# Prometheus itself gives up after 10 s.
SECONDS: Final = 5.0
_AT_ONCE: Final = 4


class Scrapes:
    """Each in a thread of its own, which may hang with the disk and must keep neither the loop nor the exit."""

    def __init__(self) -> None:
        self._room = threading.Semaphore(_AT_ONCE)

    async def run(self, work: Callable[[], Response]) -> Response:
        """What `work` gives. Raises `TimeoutError` where it takes too long, or too many hang already."""
        if not self._room.acquire(blocking=False):
            raise TimeoutError(f"{_AT_ONCE} scrapes hang already")
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
        async with asyncio.timeout(SECONDS):
            return await answer
