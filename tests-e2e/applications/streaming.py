"""A page that takes its time: a line each 50 ms."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from obs_fastapi import observe
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

app = FastAPI()
observe(app, EmbeddedRuntime(SQLiteStorage(Path(os.environ["OBS_DATA"]) / "obs.db")))


@app.get("/lines/{count}")
async def lines(count: int) -> StreamingResponse:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"line\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(stream(), media_type="text/plain")
