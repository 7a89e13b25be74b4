"""Requests and responses as values."""

from collections.abc import AsyncIterator, Mapping
from typing import Final

import msgspec

_ALWAYS: Final = (("cache-control", "no-store"), ("x-content-type-options", "nosniff"))


class Request(msgspec.Struct, frozen=True):
    """What an endpoint asks of a request. Names of headers are lower case; `client` is the peer's host, or None."""

    method: str
    query_string: str
    headers: Mapping[str, str]
    client: str | None = None


class Response(msgspec.Struct, frozen=True):
    """What an adapter sends; a body that is no bytes is streamed."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes | AsyncIterator[bytes]


def answer(
    status: int, content_type: str, body: bytes | AsyncIterator[bytes], *more: tuple[str, str]
) -> Response:
    """A response with the headers that all of ours have."""
    length = (("content-length", str(len(body))),) if isinstance(body, bytes) else ()
    return Response(status, (("content-type", content_type), *_ALWAYS, *length, *more), body)


def problem(status: int, title: str, detail: str, parameter: str = "") -> Response:
    """A problem by RFC 9457; `parameter` names what was wrong."""
    fields = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if parameter:
        fields["parameter"] = parameter
    return answer(status, "application/problem+json", msgspec.json.encode(fields))


def unavailable() -> Response:
    """What is sent where we failed ourselves."""
    return problem(503, "Service Unavailable", "the storage does not answer: try again later")
