"""Between ASGI and the values of `obs_core.http` (ASGI specification, HTTP & WebSocket protocol 2.5)."""

from collections.abc import Iterable
from typing import Any

from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope

from obs_core.http import Request, Response
from obs_core.http.aio import Stopping

from ._streams import send_stream


def request_of(scope: HTTPScope) -> Request:
    """The request of an HTTP scope; headers that are given several times are joined."""
    given: Any = scope  # which may leave out more than its type says
    client = given.get("client")
    return Request(
        scope["method"],
        given.get("query_string", b"").decode("latin-1"),
        headers_of(given.get("headers", ())),
        client[0] if client else None,
    )


def headers_of(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name."""
    values: dict[str, list[str]] = {}
    for key, value in raw:
        values.setdefault(key.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    # Joined once: growing a text for each of 50,000 equal headers would stop the loop for seconds.
    return {name: ", ".join(given) for name, given in values.items()}


async def send_response(
    response: Response, receive: ASGIReceiveCallable, send: ASGISendCallable, stopping: Stopping
) -> None:
    """Send a response. A stream is broken off where the reader leaves, or does not read."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    try:
        await send(
            {"type": "http.response.start", "status": response.status, "headers": headers, "trailers": False}
        )
        if isinstance(response.body, bytes):
            await send({"type": "http.response.body", "body": response.body, "more_body": False})
        else:
            await send_stream(response.body, receive, send, stopping if response.endless else None)
    finally:
        # Also where the client left before the first byte: the stream holds one of few places.
        if not isinstance(response.body, bytes):
            await response.body.aclose()
