"""A service on a disk that fails: `/log/COUNT` logs so many lines, each hundredth of them an ERROR.

Both kinds are numbered on their own, and `/sent` says how many there were. With E2E_BARE=1 it is without us.
"""

import logging
import os
from itertools import count
from pathlib import Path

from fastapi import FastAPI

from obs_fastapi import observe
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

runtime = EmbeddedRuntime(SQLiteStorage(Path(os.environ["OBS_DATA"]) / "obs.db"), history_interval=1.0)
log = logging.getLogger("faulty")
numbers, errors = count(1), count(1)
sent = {"lines": 0, "errors": 0}
app = FastAPI()
if not os.environ.get("E2E_BARE"):
    observe(app, runtime)


@app.get("/log/{lines}")
def write(lines: int, padding: int = 0) -> dict[str, int]:
    """`padding` is for lines that are larger."""
    for _ in range(lines):
        sent["lines"] = number = next(numbers)
        if number % 100:
            log.info("line %d%s", number, " " * padding)
        else:
            sent["errors"] = next(errors)
            log.error("error %d", sent["errors"])
    return sent


@app.get("/mark/{name}")
def mark(name: str) -> str:
    log.info("mark %s", name)
    return name


@app.get("/urgent/{name}")
def urgent(name: str) -> str:
    log.error("mark %s", name)
    return name


@app.get("/sent")
def what_was_sent() -> dict[str, int]:
    return sent
