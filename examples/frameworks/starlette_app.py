"""Starlette: the endpoints mounted, the application wrapped. `uvicorn starlette_app:app`."""

import logging
import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from obs_asgi import ObsApp, ObsMiddleware
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

runtime = EmbeddedRuntime(SQLiteStorage(Path(os.environ.get("OBS_DATA", "obs-data")) / "obs.db"))


async def hello(request: Request) -> PlainTextResponse:
    logging.getLogger("hello").info("greeted", extra={"guest": request.path_params["name"]})
    return PlainTextResponse("hello\n")


routes = [Route("/hello/{name}", hello), Mount("/obs", ObsApp(runtime))]
app = ObsMiddleware(Starlette(routes=routes), runtime)
