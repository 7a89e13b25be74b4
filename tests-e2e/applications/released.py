"""A service in two releases (E2E_RELEASE is `old` or `new`) that declare some of their metrics differently."""

import os
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from obs_fastapi import observe
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

NEW = os.environ["E2E_RELEASE"] == "new"
runtime = EmbeddedRuntime(SQLiteStorage(Path(os.environ["OBS_DATA"]) / "obs.db"))
registry = runtime.registry
same = registry.counter("same_total", "The same in both.")
helped = registry.counter("helped_total", "Said better now." if NEW else "Said badly.")
labelled = registry.counter(
    "labelled_total", "Labels were added.", labels=("plan", "region") if NEW else ("plan",)
)
sized = registry.histogram("sized", "Other buckets.", buckets=(1, 4, 8) if NEW else (1, 2, 4))
kind = registry.gauge("kind", "Was a counter.") if NEW else registry.counter("kind", "Is a counter.")

app = FastAPI()
observe(app, runtime)


@app.get("/place/{number}", response_class=PlainTextResponse)
async def place(number: int) -> str:
    same.inc()
    helped.inc()
    labelled.labels(*(("pro", "eu") if NEW else ("pro",))).inc()
    sized.observe(number % 10)
    kind.inc()
    return str(os.getpid())
