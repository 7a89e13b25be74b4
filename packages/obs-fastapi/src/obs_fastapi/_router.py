"""The endpoints as a router, for those who place them themselves."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from fastapi import APIRouter, Response
from fastapi.params import Depends

from obs_asgi import ObsApp
from obs_core import Runtime
from obs_core.http import Access, Request

# All of them, so that who may not read gets the same answer to each.
_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

HostAccess = Access | Depends
_Application = Callable[[Any, Any, Any], Awaitable[None]]


def create_router(
    runtime: Runtime,
    *,
    prefix: str = "",
    token: str | Sequence[str] | None = None,
    access: HostAccess = "token",
    metrics_access: HostAccess | None = None,
    stream_life: float = 300.0,
) -> APIRouter:
    """A router with `/metrics` and `/logs`; where nobody else did, it starts and stops the runtime.

    A router lives inside the application's own lifespan: what that one logs is captured where the runtime was started
    around it, by `ObsMiddleware` or `async with runtime`. `access` and `metrics_access` may be a dependency,
    `Depends(...)`, which raises for whom it does not let in. All that is below a `prefix` given here is ours. Include
    the router before routes that catch all. Raises `ConfigurationError` where nobody could ever be let in.
    """
    metrics_access = access if metrics_access is None else metrics_access
    app = ObsApp(
        runtime,
        token=token,
        access=_checked(access),
        metrics_access=_checked(metrics_access),
        stream_life=stream_life,
    )

    router = APIRouter(prefix=prefix, lifespan=_lifespan_of(runtime))
    _add(router, ("/metrics", "/metrics/"), app, metrics_access)
    _add(router, ("/logs", "/logs/"), app, access)
    if prefix:
        # Not what answers `/metrics`: `/x/metrics` must not be had by the check of `/logs`.
        _add(router, ("/{path:path}",), app.missing, access)
    return router


def _add(router: APIRouter, paths: Sequence[str], app: _Application, access: HostAccess) -> None:
    async def endpoint() -> Response:
        return _Answer(app)

    dependencies = [access] if isinstance(access, Depends) else []
    for path in paths:
        router.add_api_route(
            path, endpoint, methods=_METHODS, dependencies=dependencies, include_in_schema=False, name="obs"
        )


def _lifespan_of(runtime: Runtime) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        begun = not runtime.running
        runtime.start()
        try:
            yield
        finally:
            if begun:  # who started it around us has more to log
                runtime.stop()

    return lifespan


def _checked(access: HostAccess) -> Access:
    """What is left to check for us."""
    return _let_in if isinstance(access, Depends) else access


def _let_in(_: Request) -> bool:
    """Whom a dependency let in may read: it raised for all others."""
    return True


class _Answer(Response):
    """What the endpoints answer by themselves."""

    def __init__(self, app: _Application) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)
