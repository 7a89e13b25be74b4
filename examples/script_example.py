"""A plain script without a web framework: `python script_example.py`.

What it logs and counts is kept in the folder `OBS_DATA` (default `obs-data`); it prints what it finds there.
"""

import asyncio
import logging
import os
from pathlib import Path

from obs_core import LogQuery, RetentionPolicy
from obs_core.encoders import encode_ndjson, exposition
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

runtime = EmbeddedRuntime(
    SQLiteStorage(Path(os.environ.get("OBS_DATA", "obs-data")) / "obs.db"),
    log_retention=RetentionPolicy(max_age=7 * 86400, max_bytes=500_000_000),
)
imported = runtime.registry.counter("rows_imported_total", "Rows imported.", labels=("table",))
spent = runtime.registry.histogram("table_import_seconds", "Time for a table.")
log = logging.getLogger("importer")


def work() -> None:
    """What the script is for."""
    for table, rows in {"customers": 120, "orders": 3400}.items():
        with spent.time():
            imported.labels(table).inc(rows)
            log.info("imported", extra={"table": table, "rows": rows})
    try:
        int("12,50")
    except ValueError:
        log.exception("a price could not be read")


async def show() -> None:
    """Read the history back, as `/logs` would show it."""
    async for lines in encode_ndjson(runtime.storage.logs.read(LogQuery(logger="importer", level="INFO"))):
        print(lines.decode(), end="")


def main() -> None:
    with runtime:
        work()
        runtime.flush()
        asyncio.run(show())
        print(exposition(runtime.collect()).decode(), end="")


if __name__ == "__main__":
    main()
