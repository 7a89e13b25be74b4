"""Litestar: the endpoints mounted, the application wrapped. `uvicorn litestar_app:app`."""

import logging
import os
from pathlib import Path

from litestar import Litestar, asgi, get

from obs_asgi import ObsApp, ObsMiddleware
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

runtime = EmbeddedRuntime(SQLiteStorage(Path(os.environ.get("OBS_DATA", "obs-data")) / "obs.db"))


@get("/hello/{name:str}")
async def hello(name: str) -> str:
    logging.getLogger("hello").info("greeted", extra={"guest": name})
    return "hello\n"


endpoints = asgi("/obs", is_mount=True, copy_scope=True)(ObsApp(runtime))
app = ObsMiddleware(Litestar([hello, endpoints]), runtime)
