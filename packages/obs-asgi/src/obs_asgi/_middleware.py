"""Request metrics and context, around any ASGI application."""

import asyncio
from collections.abc import Callable, MutableMapping
from time import perf_counter
from typing import Any, Final, cast

from asgiref.typing import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope

from obs_core import Runtime
from obs_core.http import RequestMetrics, request_context

from ._translate import headers_of

RouteOf = Callable[[HTTPScope], str]
_OURS: Final = ("/metrics", "/logs")
CLIENT_GONE: Final = 499


def no_route(_: HTTPScope) -> str:
    """For applications whose routes we do not know: all requests are one value."""
    return ""


class ObsMiddleware:
    """Counts and times requests, binds their context, and starts and stops the runtime with the application.

    `route` gives the template of a request after the application ran, empty where none matched. Paths in
    `exclude` are left out. WebSockets pass through untouched, and so does every exception.
    """

    def __init__(
        self,
        app: ASGI3Application,
        runtime: Runtime,
        *,
        route: RouteOf = no_route,
        exclude: tuple[str, ...] = _OURS,
    ) -> None:
        self._app = app
        self._runtime = runtime
        self._route = route
        self._exclude = frozenset(exclude)
        self._metrics = RequestMetrics(runtime.registry)

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] == "http":
            self._runtime.start()
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _live(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Start before the application, stop after it: its last entries are written too."""

        async def sending(event: Any) -> None:
            if event["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                self._runtime.stop()
            await send(event)

        self._runtime.start()
        await self._app(scope, receive, sending)

    async def _serve(self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        exchange = _Exchange(send)
        counted = scope["path"] not in self._exclude
        if counted:
            self._metrics.started(scope["method"], scope["scheme"])
        begun = perf_counter()
        error_type = ""
        try:
            with request_context(headers_of(scope["headers"])) as context:
                exchange.request_id = context.request_id.encode("latin-1")
                await self._app(scope, receive, exchange.send)
        except asyncio.CancelledError:
            exchange.status = exchange.status if exchange.complete else CLIENT_GONE
            raise
        except BaseException as error:
            exchange.status = 500
            error_type = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
            raise
        finally:
            if counted:
                status = exchange.status if exchange.complete or error_type else CLIENT_GONE
                self._count(scope, status, (exchange.ended or perf_counter()) - begun, error_type)

    def _count(self, scope: HTTPScope, status: int, seconds: float, error_type: str) -> None:
        try:
            route = self._route(scope)
            self._metrics.finished(scope["method"], route, status, scope["scheme"], seconds, error_type)
        except Exception as error:  # a failure of ours never fails the request
            self._runtime.report("count a request", error)


class _Exchange:
    """Watches the response go out, and adds `x-request-id` to it."""

    __slots__ = ("_send", "complete", "ended", "request_id", "status")

    def __init__(self, send: ASGISendCallable) -> None:
        self._send = send
        self.request_id = b""
        self.status = CLIENT_GONE
        self.complete = False
        self.ended = 0.0

    async def send(self, event: Any) -> None:
        message = cast(MutableMapping[str, Any], event)
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [pair for pair in message.get("headers", ()) if pair[0].lower() != b"x-request-id"]
            message = {**message, "headers": [*headers, (b"x-request-id", self.request_id)]}
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self.complete = True
            self.ended = perf_counter()
        await self._send(cast(Any, message))
