"""A request as the endpoints see it, and what they answer."""

from collections.abc import AsyncGenerator, Mapping
from typing import Final

import msgspec

# Every answer of ours: never kept by a cache, never guessed to be another type.
_ALWAYS: Final = (("cache-control", "no-store"), ("x-content-type-options", "nosniff"))
_TITLES: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    410: "Gone",
    503: "Service Unavailable",
}

Headers = tuple[tuple[str, str], ...]


class Request(msgspec.Struct, frozen=True):
    """`headers` have lower-case names and Latin-1 text, repeated ones joined by `, `.

    `client` is the host of the peer; None where there is none to be trusted, as for a Unix socket.
    """

    method: str
    query_string: str = ""
    headers: Mapping[str, str] = {}
    client: str | None = None


class Response(msgspec.Struct, frozen=True):
    """`body` is all of it or a stream; whoever sends a stream closes it (`aclose`), whatever happens.

    An `endless` one has no end of its own: it is to be cut when the process stops. No header is named twice.
    """

    status: int
    headers: Headers
    body: bytes | AsyncGenerator[bytes, None]
    endless: bool = False


def complete(status: int, content_type: str, body: bytes, extra: Headers = ()) -> Response:
    """An answer whose whole body is known."""
    length = ("content-length", str(len(body)))
    return Response(status, (("content-type", content_type), length, *_ALWAYS, *extra), body)


def streamed(
    content_type: str, body: AsyncGenerator[bytes, None], extra: Headers = (), *, endless: bool = False
) -> Response:
    """An answer that is sent piece by piece."""
    return Response(200, (("content-type", content_type), *_ALWAYS, *extra), body, endless)


def problem(status: int, detail: str = "", parameter: str = "", extra: Headers = ()) -> Response:
    """A problem of RFC 9457; `parameter` names the one that is wrong."""
    document: dict[str, str | int] = {"type": "about:blank", "title": _TITLES[status], "status": status}
    if detail:
        document["detail"] = detail
    if parameter:
        document["parameter"] = parameter
    return complete(status, "application/problem+json", msgspec.json.encode(document), extra)


def headless(response: Response) -> Response:
    """The answer to HEAD: the same headers without the body, which must not be a stream."""
    return Response(response.status, response.headers, b"")
