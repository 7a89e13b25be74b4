"""Between ASGI and the values of `obs_core.http` (ASGI specification, HTTP & WebSocket protocol 2.5)."""

from collections.abc import AsyncIterator, Iterable

from asgiref.typing import ASGISendCallable, HTTPScope

from obs_core.http import Request, Response


def request_of(scope: HTTPScope) -> Request:
    """The request of an HTTP scope; headers that are given several times are joined."""
    client = scope.get("client")
    return Request(
        scope["method"],
        scope["query_string"].decode("latin-1"),
        headers_of(scope["headers"]),
        client[0] if client else None,
    )


def headers_of(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name."""
    headers: dict[str, str] = {}
    for key, value in raw:
        name, text = key.decode("latin-1").lower(), value.decode("latin-1")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return headers


async def send_response(response: Response, send: ASGISendCallable, *, head: bool) -> None:
    """Send a response; to a HEAD request without its body."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    await send(
        {"type": "http.response.start", "status": response.status, "headers": headers, "trailers": False}
    )
    if not head and not isinstance(response.body, bytes):
        await _send_stream(response.body, send)
        return
    body = b"" if head or not isinstance(response.body, bytes) else response.body
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _send_stream(chunks: AsyncIterator[bytes], send: ASGISendCallable) -> None:
    async for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
