"""Request metrics and context, around any ASGI application."""

import asyncio
from collections.abc import Callable, Iterable, MutableMapping
from os import getpid
from time import perf_counter
from typing import Any, Final, cast

from asgiref.typing import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope

from obs_core import Runtime
from obs_core.http import RequestMetrics, request_context

from ._app import ObsApp
from ._routes import RouteTemplates
from ._servers import capture_servers
from ._translate import headers_of

RouteOf = Callable[[HTTPScope], str]
PATHS: Final = ("/metrics", "/logs")
CLIENT_GONE: Final = 499


class ObsMiddleware:
    """Counts and times requests, binds their context, and starts and stops the runtime with the application.

    `route(scope)` gives the template of a request after the application ran, empty where none matched;
    without it the routes of Starlette and FastAPI are known, and all other requests are one value.
    `endpoints` are answered below `prefix`, before the application sees the request. Paths in `exclude` are
    not measured, without `prefix` where the application is mounted; nor are `/metrics` and `/logs` of our own.
    `server_logs` captures the loggers of uvicorn and gunicorn too. WebSockets and every exception pass through.
    """

    def __init__(
        self,
        app: ASGI3Application,
        runtime: Runtime,
        *,
        endpoints: ObsApp | None = None,
        prefix: str = "",
        route: RouteOf | RouteTemplates | None = None,
        exclude: Iterable[str] = (),
        server_logs: bool = True,
    ) -> None:
        self.app = app
        self._runtime = runtime
        self._endpoints = endpoints
        self._ours = frozenset(prefix.rstrip("/") + path for path in PATHS)
        self._special = self._ours | frozenset(exclude)
        self._route = _route_of(app, route)
        self._server_logs = server_logs
        self._metrics = RequestMetrics(runtime.registry)
        self._started_in = 0

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] == "http":
            if self._started_in != getpid():
                self._start_late()
            root_path = scope.get("root_path", "")
            path = scope["path"].removeprefix(root_path) if root_path else scope["path"]
            if path not in self._special:
                await self._serve(scope, receive, send, root_path)
            elif self._endpoints is not None and path in self._ours:
                await self._endpoints(scope, receive, send)
            else:
                await self._pass(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _live(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Start before the application, stop after it: its last entries are written too."""

        async def sending(event: Any) -> None:
            if event["type"] in (
                "lifespan.startup.failed",
                "lifespan.shutdown.complete",
                "lifespan.shutdown.failed",
            ):
                self._started_in = 0
                self._runtime.stop()
            await send(event)

        try:
            self._start()
        except Exception as error:
            # Raised before `startup` was received, it would be taken for an application without lifespan.
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await self.app(scope, receive, sending)

    def _start(self) -> None:
        self._runtime.start()
        self._started_in = getpid()
        if self._server_logs:
            capture_servers(self._runtime.handler)
        if self._endpoints is not None:
            self._endpoints.announce()

    def _start_late(self) -> None:
        """At the first request, for want of a lifespan, or in a child that was forked after the start."""
        self._started_in = getpid()
        try:
            self._start()
        except Exception as error:  # a failure of ours never fails the request
            self._runtime.report("start", error)

    async def _pass(self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        exchange = _Exchange(receive, send)
        with request_context(headers_of(scope["headers"])) as context:
            exchange.request_id = context.request_id.encode("latin-1")
            await self.app(scope, receive, exchange.send)

    async def _serve(
        self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable, root_path: str
    ) -> None:
        exchange = _Exchange(receive, send)
        self._metrics.started(scope["method"], scope["scheme"])
        begun = perf_counter()
        error_type = ""
        try:
            with request_context(headers_of(scope["headers"])) as context:
                exchange.request_id = context.request_id.encode("latin-1")
                await self.app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            exchange.gone = True
            raise
        except BaseException as error:
            if not exchange.gone:
                exchange.status = 500
                error_type = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
            raise
        finally:
            seconds = (exchange.ended or perf_counter()) - begun
            self._count(scope, root_path, exchange.outcome(), seconds, error_type)

    def _count(self, scope: HTTPScope, root_path: str, status: int, seconds: float, error_type: str) -> None:
        try:
            route = self._route(scope, root_path)
        except Exception as error:  # a failure of ours never fails the request
            self._runtime.report("route", error)
            route = ""
        try:
            self._metrics.finished(scope["method"], route, status, scope["scheme"], seconds, error_type)
        except Exception as error:
            self._runtime.report("count a request", error)


def _route_of(app: Any, route: RouteOf | RouteTemplates | None) -> Callable[[HTTPScope, str], str]:
    if route is None:
        return RouteTemplates(lambda: getattr(app, "routes", ()))
    return route if isinstance(route, RouteTemplates) else lambda scope, _: route(scope)


class _Exchange:
    """Watches the response go out, and adds `x-request-id` to it."""

    __slots__ = ("_receive", "_send", "complete", "ended", "gone", "request_id", "status")

    def __init__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        self._receive = receive
        self._send = send
        self.request_id = b""
        self.status = 0
        self.complete = False
        self.gone = False
        self.ended = 0.0

    def outcome(self) -> int:
        """The status that counts: 499 where the client left before the end, 500 where none was sent."""
        if self.complete:
            return self.status
        return CLIENT_GONE if self.gone else self.status or 500

    async def receive(self) -> Any:
        event = await self._receive()
        if event["type"] == "http.disconnect" and not self.complete:
            self.gone = True
        return event

    async def send(self, event: Any) -> None:
        message = cast(MutableMapping[str, Any], event)
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [pair for pair in message.get("headers", ()) if pair[0].lower() != b"x-request-id"]
            message = {**message, "headers": [*headers, (b"x-request-id", self.request_id)]}
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self.complete = True
            self.ended = perf_counter()
        try:
            await self._send(cast(Any, message))
        except OSError:  # so says ASGI 2.4: the client is not there any more
            self.gone, self.complete = True, False
            raise
