"""One request and its response, watched on their way. This runs for every request: each line of it is paid for."""

from asyncio import CancelledError
from collections.abc import Awaitable, Iterable
from time import perf_counter
from typing import Any, Final

from asgiref.typing import ASGIReceiveCallable, ASGISendCallable

from obs_core.http import request_attributes

CLIENT_GONE: Final = 499
_REQUEST_ID: Final = b"x-request-id"
_LENGTH: Final = len(_REQUEST_ID)
_TRACEPARENT: Final = b"traceparent"
_DIGITS: Final = 19


class Exchange:
    """Adds `x-request-id` to the response, and knows how it went."""

    __slots__ = ("_receive", "_send", "attributes", "ended", "error_type", "gone", "status")

    def __init__(
        self, headers: Iterable[tuple[bytes, bytes]], receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        self._receive: Any = receive
        self._send: Any = send
        request_id = traceparent = b""
        for name, value in headers:
            if name == _REQUEST_ID:
                request_id = value
            elif name == _TRACEPARENT:
                traceparent = value
        if request_id or traceparent:
            self.attributes = request_attributes(request_id.decode("latin-1"), traceparent.decode("latin-1"))
        else:
            self.attributes = request_attributes()
        self.status = 0
        self.ended = 0.0
        self.gone = False
        self.error_type = ""

    def send(self, event: Any) -> Awaitable[None]:
        """Not a coroutine: what the server's own returns is awaited without one more around it."""
        kind = event["type"]
        if kind == "http.response.start":
            self.status = event["status"]
            # Both are copied: an application may send the same response again and again.
            event = event.copy()
            headers = list(event.get("headers", ()))  # may be an iterator, which is used up at once
            for name, _ in headers:
                if len(name) == _LENGTH and name.lower() == _REQUEST_ID:
                    headers = _without_id(headers)
                    break
            headers.append((_REQUEST_ID, self.attributes["request_id"].encode()))
            event["headers"] = headers
        elif kind == "http.response.body" and not event.get("more_body", False):
            self.ended = perf_counter()
        return self._send(event)  # type: ignore[no-any-return]

    async def watched_send(self, event: Any) -> None:
        """The same for servers that raise where the client is not there any more (ASGI 2.4)."""
        try:
            await self.send(event)
        except OSError:
            self.gone, self.ended = True, 0.0
            raise

    async def receive(self) -> Any:
        event = await self._receive()
        if event["type"] == "http.disconnect" and not self.ended:
            self.gone = True
        return event

    def failed(self, error: BaseException) -> None:
        """The application raised, or the server cancelled it since the client left."""
        if isinstance(error, CancelledError):
            self.gone = True
        elif not self.gone:
            self.status, self.ended = 500, self.ended or perf_counter()
            self.error_type = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")

    def outcome(self) -> int:
        """The status that counts: 499 where the client left before the end, 500 where none was sent."""
        if self.ended:
            return self.status
        return CLIENT_GONE if self.gone else self.status or 500


class MeasuredExchange(Exchange):
    """Counts the bytes of both bodies too; of a request body that nobody reads, what its header says."""

    __slots__ = ("_declared", "_received", "sent")

    def __init__(
        self, headers: Iterable[tuple[bytes, bytes]], receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        super().__init__(headers, receive, send)
        length = next((value for name, value in headers if name == b"content-length"), b"")
        self._declared = int(length) if length.isdigit() and len(length) < _DIGITS else 0
        self._received = 0
        self.sent = 0

    @property
    def received(self) -> int:
        return self._received or self._declared

    def send(self, event: Any) -> Awaitable[None]:
        if event["type"] == "http.response.body":
            self.sent += len(event.get("body", b""))
        return super().send(event)

    async def receive(self) -> Any:
        event = await super().receive()
        if event["type"] == "http.request":
            self._received += len(event.get("body", b""))
        return event


def _without_id(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [pair for pair in headers if pair[0].lower() != _REQUEST_ID]
