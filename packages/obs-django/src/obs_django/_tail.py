"""The response that streams log entries under ASGI: it ends with its reader and with the server."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final, cast

from django.http import StreamingHttpResponse

from obs_core import Runtime
from obs_core.http.aio import Stopping

# A reader that does not take a chunk for so long is given up.
SEND_SECONDS: Final = 10.0
# The process is stopping: a stream ends by itself, unless a reader keeps it from that.
_LAST_SECONDS: Final = 0.5


class Pause(Stopping):
    """What `Endpoints.logs` takes; it knows of the end until `forget` is called."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__()
        self.forget: Callable[[], None] = runtime.on_stopping(self.begin)
        self.runtime = runtime


class LogStream(StreamingHttpResponse):
    """Closes its body at the end, whatever that was, and gives up a reader that does not read."""

    def __init__(self, body: AsyncGenerator[bytes, None], pause: Pause, **options: Any) -> None:
        super().__init__(body, **options)
        self._body = body
        self._pause = pause
        self._sending = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop, task = asyncio.get_running_loop(), cast("asyncio.Task[Any]", asyncio.current_task())

        def give_up() -> None:
            if self._sending:
                task.cancel()

        def last_chance() -> None:
            with suppress(RuntimeError):  # a loop that is closed has no stream left
                loop.call_soon_threadsafe(loop.call_later, _LAST_SECONDS, give_up)

        forget = self._pause.runtime.on_stopping(last_chance)
        try:
            # Not the body itself: middleware may have put something around it.
            async for chunk in cast("AsyncIterator[bytes]", self.streaming_content):
                timer = loop.call_later(SEND_SECONDS, give_up)
                self._sending = True
                yield chunk
                self._sending = False
                timer.cancel()
        finally:
            self._sending = False
            forget()
            self._pause.forget()
            await self._body.aclose()

    def close(self) -> None:
        self._pause.forget()
        super().close()
