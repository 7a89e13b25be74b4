"""The one line."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any
from weakref import WeakSet

from fastapi import FastAPI
from fastapi.params import Depends

from obs_asgi import ObsApp, ObsMiddleware, RouteTemplates
from obs_core import ConfigurationError, Runtime
from obs_core.http import checked_paths

from ._router import HostAccess, create_router

_observed: "WeakSet[FastAPI]" = WeakSet()


def observe(
    app: FastAPI,
    runtime: Runtime,
    *,
    prefix: str = "",
    token: str | Sequence[str] | None = None,
    access: HostAccess = "token",
    metrics_access: HostAccess | None = None,
    stream_life: float = 300.0,
    exclude: Iterable[str] = (),
    server_logs: bool = True,
    sizes: bool = False,
) -> None:
    """Give an application `/metrics` and `/logs` below `prefix`, request metrics, context, and the runtime's life.

    Everything else may be added to the application before or after: ours stays outermost, and our paths are found
    first; all that is below a prefix is ours, and a route of the application there is named on stderr. `access` and
    `metrics_access` may be a dependency, `Depends(...)`, which raises for whom it does not let in; then the endpoints
    are routes of the application, below its middleware. A stream that follows the logs ends after `stream_life`
    seconds. Paths in `exclude` are not measured; `server_logs` captures the loggers of servers, `sizes` measures the
    bodies of requests and responses. Raises `ConfigurationError` where nobody could ever be let in, where the
    application runs already, or is observed twice.
    """
    _refuse_late(app)
    prefix, exclude = checked_paths(prefix, exclude)
    endpoints = _endpoints(app, runtime, prefix, token, access, metrics_access, stream_life)
    _observed.add(app)
    ours = partial(ObsMiddleware, runtime=runtime, endpoints=endpoints, prefix=prefix, exclude=exclude)
    routes = RouteTemplates(lambda: app.routes)
    _put_around(app, partial(ours, route=routes, server_logs=server_logs, sizes=sizes))


def _refuse_late(app: FastAPI) -> None:
    if not isinstance(app, FastAPI):  # a type checker may not have seen the call
        raise ConfigurationError(f"observe(app, runtime) takes a FastAPI application first, not {app!r}")
    if app.middleware_stack is not None:
        raise ConfigurationError(
            "observe(app, runtime) comes before the first request: call it where app is made"
        )
    if app in _observed:
        raise ConfigurationError("this application is observed already: call observe(app, runtime) once")


def _endpoints(
    app: FastAPI,
    runtime: Runtime,
    prefix: str,
    token: str | Sequence[str] | None,
    access: HostAccess,
    metrics_access: HostAccess | None,
    stream_life: float,
) -> ObsApp | None:
    """The endpoints for the middleware; None where they are routes of the application, for its dependencies."""
    if not isinstance(access, Depends) and not isinstance(metrics_access, Depends):
        return ObsApp(
            runtime, token=token, access=access, metrics_access=metrics_access, stream_life=stream_life
        )
    router = create_router(
        runtime,
        prefix=prefix,
        token=token,
        access=access,
        metrics_access=metrics_access,
        stream_life=stream_life,
    )
    app.router.routes[:0] = router.routes  # before whatever catches all
    return None


def _put_around(app: FastAPI, ours: Callable[[Any], ObsMiddleware]) -> None:
    build = app.build_middleware_stack
    # Called once, at the first event, when all middleware has been added.
    app.build_middleware_stack = lambda: ours(build())  # type: ignore[method-assign]
