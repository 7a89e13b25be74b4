"""Waiting that ends when the process begins to stop, for servers on asyncio. Nothing else in the core imports it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .._ports import Runtime


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
