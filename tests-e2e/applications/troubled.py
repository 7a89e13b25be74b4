"""A service whose metrics are a trouble: too many series, too long a value, NaN, a function that fails, other kinds."""

import os
from pathlib import Path

from fastapi import FastAPI

from obs_fastapi import observe
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

NEW = os.environ["E2E_RELEASE"] == "new"
runtime = EmbeddedRuntime(SQLiteStorage(Path(os.environ["OBS_DATA"]) / "obs.db"))
registry = runtime.registry
visits = registry.counter("visits_total", "One series for each visitor.", labels=("visitor",))
kind = registry.gauge("kind", "Was a counter.") if NEW else registry.counter("kind", "Is a counter.")
depth = registry.gauge("depth", "Its function fails.")
depth.set_function(lambda: 1 / 0)

app = FastAPI()
observe(app, runtime)


@app.get("/flood")
async def flood() -> None:
    kind.inc()
    visits.labels("x" * 1000).inc()
    visits.labels("nan").inc(float("nan"))
    for number in range(3000):
        visits.labels(str(number)).inc()
