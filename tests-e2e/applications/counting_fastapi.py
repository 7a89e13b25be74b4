"""Counts under FastAPI: `/place/NUMBER`, `/level/VALUE`, `/fork`."""

import os

from counted import orders, place, runtime, set_level
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from obs_fastapi import observe

app = FastAPI()
observe(app, runtime)


@app.get("/place/{number}", response_class=PlainTextResponse)
async def place_order(number: int) -> str:
    return place(number)


@app.get("/level/{value}", response_class=PlainTextResponse)
async def level(value: float) -> str:
    return set_level(value)


@app.get("/fork", response_class=PlainTextResponse)
def fork() -> str:
    """Have a child of this worker place one order."""
    child = os.fork()
    if child == 0:
        orders.labels("forked").inc()
        runtime.flush()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return str(status)
