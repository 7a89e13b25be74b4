"""Any ASGI application, here one without a framework: `uvicorn asgi_example:app`.

The history and the token are kept in the folder `OBS_DATA` (default `obs-data`).
"""

import logging
import os
from pathlib import Path
from typing import Any

from obs_asgi import ObsApp, ObsMiddleware
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

runtime = EmbeddedRuntime(SQLiteStorage(Path(os.environ.get("OBS_DATA", "obs-data")) / "obs.db"))
greetings = runtime.registry.counter("greetings_total", "Greetings sent.", labels=("language",))
log = logging.getLogger("greeter")


async def greeter(scope: Any, receive: Any, send: Any) -> None:
    """Answers `/greet/NAME`; the application that is observed."""
    if scope["type"] != "http":
        return
    if not scope["path"].startswith("/greet/"):
        await answer(send, 404, "there is nobody\n")
        return
    name = scope["path"].removeprefix("/greet/")
    if name == "nobody":
        raise ValueError("nobody cannot be greeted")
    greetings.labels("en").inc()
    log.info("greeted", extra={"guest": name})
    await answer(send, 200, f"hello {name}\n")


async def answer(send: Any, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


def route(scope: Any) -> str:
    """The template of a request: a raw path would make a series of each name."""
    return "/greet/{name}" if scope["path"].startswith("/greet/") else ""


app = ObsMiddleware(greeter, runtime, endpoints=ObsApp(runtime), route=route)
