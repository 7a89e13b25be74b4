"""The endpoints as a router, for those who place them themselves."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from fastapi import APIRouter, Response
from fastapi.params import Depends

from obs_asgi import ObsApp
from obs_core import Runtime
from obs_core.http import Access

# All of them, so that who may not read gets the same answer to each.
_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

HostAccess = Access | Depends


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
    `Depends(...)`, which raises for whom it does not let in. Include the router before routes that catch all.
    Raises `ConfigurationError` where nobody could ever be let in.
    """
    metrics_access = access if metrics_access is None else metrics_access
    app = ObsApp(
        runtime,
        token=token,
        access=_checked(access),
        metrics_access=_checked(metrics_access),
        stream_life=stream_life,
    )

    async def endpoint() -> Response:
        return _Answer(app)

    router = APIRouter(prefix=prefix, lifespan=_lifespan_of(runtime))
    for path, check in (("/metrics", metrics_access), ("/logs", access)):
        dependencies = [check] if isinstance(check, Depends) else []
        router.add_api_route(
            path, endpoint, methods=_METHODS, dependencies=dependencies, include_in_schema=False, name="obs"
        )
    return router


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
    """What is left to check for us: whom a dependency let in may read."""
    return "open" if isinstance(access, Depends) else access


class _Answer(Response):
    """What the endpoints answer by themselves."""

    def __init__(self, app: ObsApp) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)
