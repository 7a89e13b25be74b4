"""The one line."""

from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakSet

from fastapi import FastAPI
from fastapi.params import Depends

from obs_asgi import ObsApp, ObsMiddleware, RouteTemplates
from obs_core import ConfigurationError, Runtime

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
    first. `access` and `metrics_access` may be a dependency, `Depends(...)`, which raises for whom it does not let in;
    then the endpoints are routes of the application, below its middleware. A stream that follows the logs ends after
    `stream_life` seconds. Paths in `exclude` are not measured;
    `server_logs` captures the loggers of uvicorn and gunicorn, `sizes` measures the bodies of requests and responses.
    Raises `ConfigurationError` where nobody could ever be let in, where the application runs already, or is observed
    twice.
    """
    if app.middleware_stack is not None:
        raise ConfigurationError(
            "observe(app, runtime) comes before the first request: call it where app is made"
        )
    if app in _observed:
        raise ConfigurationError("this application is observed already: call observe(app, runtime) once")
    endpoints = None
    if isinstance(access, Depends) or isinstance(metrics_access, Depends):
        router = create_router(
            runtime,
            prefix=prefix,
            token=token,
            access=access,
            metrics_access=metrics_access,
            stream_life=stream_life,
        )
        app.router.routes[:0] = router.routes  # before whatever catches all
    else:
        endpoints = ObsApp(
            runtime, token=token, access=access, metrics_access=metrics_access, stream_life=stream_life
        )
    _observed.add(app)
    build = app.build_middleware_stack

    def build_ours_around() -> Any:
        stack: Any = build()
        return ObsMiddleware(
            stack,
            runtime,
            endpoints=endpoints,
            prefix=prefix,
            route=RouteTemplates(lambda: app.routes),
            exclude=exclude,
            server_logs=server_logs,
            sizes=sizes,
        )

    # Called once, at the first event, when all middleware has been added.
    app.build_middleware_stack = build_ours_around  # type: ignore[method-assign]
