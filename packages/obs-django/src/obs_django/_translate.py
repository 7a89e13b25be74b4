"""Between Django's requests and responses and the values of `obs_core.http`."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Self, cast

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from obs_core.http import Request, Response


class Asked(Request, frozen=True):
    """`allowed` is what the application's own check said, where it has one."""

    allowed: bool = False


def asked(request: HttpRequest, *, allowed: bool) -> Asked:
    """The request as the endpoints see it."""
    return Asked(
        request.method or "GET",
        request.META.get("QUERY_STRING", ""),
        {name.lower(): value for name, value in request.headers.items()},
        request.META.get("REMOTE_ADDR") or None,
        allowed,
    )


def answered(response: Response) -> HttpResponse:
    """The response, where its body is whole."""
    return HttpResponse(cast(bytes, response.body), status=response.status, headers=headers_of(response))


def answered_in_pages(respond: Callable[[], Coroutine[Any, Any, Response]]) -> HttpResponseBase:
    """The response for a synchronous handler, in the thread that will send it."""
    # One loop from the first page to the last: asyncio closes what was begun in a loop when that one ends.
    runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
    try:
        response = runner.run(respond())
    except BaseException:
        runner.close()
        raise
    if isinstance(response.body, bytes):
        runner.close()
        return answered(response)
    pages = _Pages(runner, response.body)
    return StreamingHttpResponse(pages, status=response.status, headers=headers_of(response))


def headers_of(response: Response) -> dict[str, str]:
    """Ours, so that nothing keeps what it must not."""
    # `private` too: Django's own cache would keep what is only `no-store`, and give it to everybody.
    return dict(response.headers) | {"cache-control": "no-store, private"}


class _Pages:
    """The chunks of an asynchronous body, one at a time; `close` ends it and its loop."""

    def __init__(self, runner: asyncio.Runner, body: AsyncGenerator[bytes, None]) -> None:
        self._runner = runner
        self._body = body
        self._closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        chunk = self._runner.run(_next(self._body))
        if chunk is None:
            raise StopIteration
        return chunk

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._runner.run(_close(self._body))
        finally:
            self._runner.close()


async def _next(body: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(body, None)


async def _close(body: AsyncGenerator[bytes, None]) -> None:
    await body.aclose()
