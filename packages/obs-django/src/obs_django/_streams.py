"""Streams that are watched to their end: how a streaming response came out is known only there."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, Self

from django.http import StreamingHttpResponse

from obs_core.http import enter, leave

CLIENT_GONE: Final = 499


class Watched:
    """The context of the request is bound while the application makes a chunk.

    `status` is None once all was sent, 500 with `error_type` where the application failed, and till then that
    of a client that left.
    """

    def __init__(self, attributes: dict[str, str]) -> None:
        self._attributes = attributes
        self.status: int | None = CLIENT_GONE
        self.error_type = ""
        self.sent = 0

    def note(self, error: BaseException) -> None:
        """It ended with this."""
        if isinstance(error, StopIteration | StopAsyncIteration):
            self.status = None
        elif not isinstance(error, asyncio.CancelledError | GeneratorExit):
            self.status, self.error_type = 500, type_name(error)


class _Chunks(Watched):
    def __init__(self, attributes: dict[str, str], chunks: Iterator[bytes]) -> None:
        super().__init__(attributes)
        self._next = chunks.__next__

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        token = enter(self._attributes)
        try:
            chunk = self._next()
            self.sent += len(chunk)
            return chunk
        except BaseException as error:
            self.note(error)
            raise
        finally:
            leave(token)


class _AsyncChunks(Watched):
    def __init__(self, attributes: dict[str, str], chunks: AsyncIterator[bytes]) -> None:
        super().__init__(attributes)
        self._next = chunks.__anext__

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        token = enter(self._attributes)
        try:
            chunk = await self._next()
            self.sent += len(chunk)
            return chunk
        except BaseException as error:
            self.note(error)
            raise
        finally:
            leave(token)


def watch(response: StreamingHttpResponse, attributes: dict[str, str]) -> Watched:
    """Put a watch between the response and its stream."""
    content: Any = response.streaming_content
    chunks = _AsyncChunks(attributes, content) if response.is_async else _Chunks(attributes, content)
    response.streaming_content = chunks
    return chunks


def type_name(error: BaseException) -> str:
    """The qualified name of its class, as `error_type` has it."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
