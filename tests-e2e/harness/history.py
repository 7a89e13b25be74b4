"""The history on disk, read by the storage itself once the service is gone."""

import asyncio
from pathlib import Path

from obs_core import LogQuery, StoredLog
from obs_storage_sqlite import SQLiteStorage


def stored_logs(folder: Path, query: LogQuery) -> list[StoredLog]:
    """What the database in this folder answers."""

    async def read() -> list[StoredLog]:
        async with SQLiteStorage(folder / "obs.db") as storage:
            return [stored async for stored in storage.logs.read(query)]

    with asyncio.Runner() as runner:
        return runner.run(read())


def bytes_on_disk(folder: Path) -> int:
    """What the file system counts for the database with all that lies beside it."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("obs.db*") if path.is_file())
