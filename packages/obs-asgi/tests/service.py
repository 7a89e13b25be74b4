"""The application that the process tests serve: `uvicorn service:app`, its database in the folder OBS_TEST_DATA."""

import logging
import os
from pathlib import Path
from secrets import token_hex
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from obs_asgi import ObsApp, ObsMiddleware
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

log = logging.getLogger("shop")


async def say(request: Request) -> PlainTextResponse:
    """Logs the word `times` times, each with text of `size` that cannot be made much smaller."""
    size = int(request.query_params.get("size", "0"))
    for _ in range(int(request.query_params.get("times", "1"))):
        log.warning(request.path_params["word"], extra={"size": token_hex(size // 2)})
    return PlainTextResponse(str(os.getpid()))


data = Path(os.environ["OBS_TEST_DATA"])
runtime = EmbeddedRuntime(SQLiteStorage(data / "obs.db"))
life = float(os.environ.get("OBS_TEST_LIFE", "300"))
access: Any = os.environ.get("OBS_TEST_ACCESS", "token")
endpoints = ObsApp(runtime, token="secret", access=access, stream_life=life)
app = ObsMiddleware(Starlette(routes=[Route("/say/{word}", say)]), runtime, endpoints=endpoints)
