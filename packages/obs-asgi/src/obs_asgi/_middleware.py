"""Request metrics and context, around any ASGI application."""

import os
from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Iterable
from time import perf_counter
from typing import Any, Final, Self, cast

from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope

from obs_core import Runtime
from obs_core.http import Kind, RequestMetrics, checked_paths, checked_runtime, enter, leave
from obs_core.process import LoopLag
from obs_core.servers import capture_servers

from ._app import ObsApp
from ._exchange import Exchange, MeasuredExchange
from ._routes import RouteTemplates

RouteOf = Callable[[HTTPScope], str]
# Frameworks name the types of ASGI each in its own way.
Application = Callable[[Any, Any, Any], Awaitable[None]]
PATHS: Final = ("/metrics", "/logs")


# This process: another object in a forked child. Asking for the pid is a system call, for every request.
_process: Final[list[object]] = [object()]
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _process.__setitem__(0, object()))


class Below(frozenset[str]):
    """Some paths, and all that is below the prefix: who may not read learns nothing there either."""

    _start: str

    def __new__(cls, prefix: str, paths: Iterable[str]) -> Self:
        made = super().__new__(cls, paths)
        made._start = f"{prefix}/"
        return made

    def __contains__(self, path: object) -> bool:
        return super().__contains__(path) or (isinstance(path, str) and path.startswith(self._start))


class ObsMiddleware:
    """Counts and times requests, binds their context, and starts and stops the runtime with the application.

    `route(scope)` gives the template of a request after the application ran, empty where none matched;
    without it the routes of Starlette and FastAPI are known, and all other requests are one value.
    `endpoints` are answered below `prefix`, before the application sees the request; all that is below one that is not
    empty is ours. Paths in `exclude` are not measured, without `prefix` where the application is mounted; nor is ours.
    `server_logs` captures the loggers of servers too, `sizes` measures the bodies of requests and
    responses. The lag of the event loop is sampled. WebSockets and every exception pass through.
    """

    def __init__(
        self,
        app: Application,
        runtime: Runtime,
        *,
        endpoints: ObsApp | None = None,
        prefix: str = "",
        route: RouteOf | RouteTemplates | None = None,
        exclude: Iterable[str] = (),
        server_logs: bool = True,
        sizes: bool = False,
    ) -> None:
        self.app = app
        self._runtime = checked_runtime(runtime)
        self._endpoints = endpoints
        prefix, excluded = checked_paths(prefix, exclude)
        ours = frozenset(prefix + path + end for path in PATHS for end in ("", "/"))
        # Only sets are asked for each request: most applications have no prefix.
        self._ours = Below(prefix, ours) if prefix else ours
        self._special = Below(prefix, ours | excluded) if prefix else ours | excluded
        templates = RouteTemplates(lambda: getattr(app, "routes", ())) if route is None else route
        self._templates = templates if isinstance(templates, RouteTemplates) else None
        self._route = _route_of(templates)
        self._server_logs = server_logs
        self._lag = LoopLag(runtime.registry)
        self._metrics = RequestMetrics(runtime.registry, sizes=sizes)
        self._kinds = self._metrics.kinds
        self._exchange = MeasuredExchange if sizes else Exchange
        self._requested_in: object = None
        self._sends_raise = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._pass(scope, receive, send)
            return
        if self._requested_in is not _process[0]:
            self._first_request(scope)
        path = scope["path"]
        root_path = scope.get("root_path", "")
        if root_path:
            path = path.removeprefix(root_path)
        kind = None
        if path not in self._special:
            kind = self._kinds[scope["method"], scope.get("scheme", "http")]
            kind.active.inc()
        elif path in self._ours and self._endpoints is not None:
            await self._endpoints(scope, receive, send)
            return
        exchange = self._exchange(scope.get("headers", ()), receive, send)
        token = enter(exchange.attributes)
        begun = perf_counter()
        try:
            await self.app(
                scope, exchange.receive, exchange.watched_send if self._sends_raise else exchange.send
            )
        except BaseException as error:
            exchange.failed(error)
            self._count(scope, root_path, kind, exchange, begun)
            raise  # the context stays bound: the server logs the exception after us, in the same task
        self._count(scope, root_path, kind, exchange, begun)
        leave(token)

    async def _pass(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] == "lifespan":
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
                self._requested_in = None
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
        self._lag.watch(get_running_loop())
        if self._server_logs:
            capture_servers(self._runtime.handler)
        if self._endpoints is not None:
            self._endpoints.announce()
            self._say_what_is_hidden()

    def _say_what_is_hidden(self) -> None:
        templates, self._templates = self._templates, None
        try:
            hidden = [] if templates is None else templates.among(self._ours)
        except Exception as error:  # routes of a framework of another kind
            self._runtime.report("route", error)
            return
        if hidden:
            self._runtime.announce(
                f"{', '.join(hidden)} of the application cannot be reached, since obs answers there:"
                " choose another prefix"
            )

    def _first_request(self, scope: HTTPScope) -> None:
        """Start, for want of a lifespan, or in a child that was forked after the start; the exit hooks again."""
        self._requested_in = _process[0]
        asgi: Any = cast(Any, scope).get("asgi", {})
        self._sends_raise = asgi.get("spec_version", "2.0") >= "2.4"
        try:
            self._start()
        except Exception as error:  # a failure of ours never fails the request
            self._runtime.report("start", error)

    def _count(
        self, scope: HTTPScope, root_path: str, kind: Kind | None, exchange: Exchange, begun: float
    ) -> None:
        if kind is None:
            return
        seconds = (exchange.ended or perf_counter()) - begun
        try:
            route = self._route(scope, root_path)
        except Exception as error:  # a failure of ours never fails the request
            self._runtime.report("route", error)
            route = ""
        try:
            status = exchange.status if exchange.ended else exchange.outcome()
            kind.finished(route, status, seconds, exchange.error_type)
            if isinstance(exchange, MeasuredExchange):
                sizes = exchange.received, exchange.sent
                scheme = cast(Any, scope).get("scheme", "http")
                self._metrics.sized(
                    scope["method"], route, status, scheme, *sizes, error_type=exchange.error_type
                )
        except Exception as error:
            self._runtime.report("count a request", error)


def _route_of(route: RouteOf | RouteTemplates) -> Callable[[HTTPScope, str], str]:
    # The method itself: an object is called a little more slowly than its method.
    return route.__call__ if isinstance(route, RouteTemplates) else lambda scope, _: route(scope)
