"""Sending piece by piece: bounded by the reader and in each send; what has no end also by the server's stopping."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from asgiref.typing import ASGIReceiveCallable, ASGISendCallable

from obs_core.http.aio import Stopping

# A client that does not read for so long is given up.
SEND_SECONDS: Final = 10.0
# When the process stops, a stream without end ends by itself; a send that hangs gets no longer than this.
_LAST_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 1.0


async def send_stream(
    chunks: AsyncIterator[bytes],
    receive: ASGIReceiveCallable,
    send: ASGISendCallable,
    stopping: Stopping | None,
) -> None:
    """Send all chunks, or as many as the reader takes; what the chunks raise goes on to the server.

    Without `stopping` they go on to their end while the process stops, for as long as the server lets them.
    """
    sending = asyncio.create_task(_send_all(chunks, send))
    leaving = {asyncio.create_task(_left(receive)), asyncio.create_task(_closed(send))}
    tasks = [sending, *leaving]
    if stopping is not None:
        tasks.append(asyncio.create_task(stopping.wait()))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not sending.done() and not any(task.done() for task in leaving):
            await asyncio.wait((sending,), timeout=_LAST_SECONDS)
    finally:
        broken_off = not sending.done()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if broken_off or isinstance(sending.exception(), TimeoutError):
        _abort(send)
    else:
        sending.result()


def _abort(send: ASGISendCallable) -> None:
    """Close the connection at once, where the server's transport can be had, as uvicorn's can.

    ASGI has no word for it, and a connection whose buffer nobody reads would stay open, and the server with it
    when it is to stop.
    """
    abort = getattr(_transport(send), "abort", None)
    if callable(abort):
        abort()


def _transport(send: ASGISendCallable) -> Any:
    return getattr(getattr(send, "__self__", None), "transport", None)


async def _send_all(chunks: AsyncIterator[bytes], send: ASGISendCallable) -> None:
    async for chunk in chunks:
        if chunk:
            await _send(send, chunk, more=True)
    await _send(send, b"", more=False)


async def _send(send: ASGISendCallable, chunk: bytes, *, more: bool) -> None:
    async with asyncio.timeout(SEND_SECONDS):
        await send({"type": "http.response.body", "body": chunk, "more_body": more})


async def _closed(send: ASGISendCallable) -> None:
    """Return when the connection is closed: with pipelined requests uvicorn tells the last one alone."""
    is_closing = getattr(_transport(send), "is_closing", None)
    if not callable(is_closing):
        await asyncio.Event().wait()
        return
    while not is_closing():  # noqa: ASYNC110  # there is nothing that tells
        await asyncio.sleep(_LOOK_SECONDS)


async def _left(receive: ASGIReceiveCallable) -> None:
    event: Any = await receive()
    while event["type"] != "http.disconnect":
        event = await receive()
