"""Quart: the application wrapped, the endpoints below a path of their own. `uvicorn quart_app:app`."""

import logging
import os
from pathlib import Path

from quart import Quart

from obs_asgi import ObsApp, ObsMiddleware
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

runtime = EmbeddedRuntime(SQLiteStorage(Path(os.environ.get("OBS_DATA", "obs-data")) / "obs.db"))
pages = Quart(__name__)


@pages.get("/hello/<name>")
async def hello(name: str) -> str:
    logging.getLogger("hello").info("greeted", extra={"guest": name})
    return "hello\n"


app = ObsMiddleware(pages, runtime, endpoints=ObsApp(runtime), prefix="/obs")
