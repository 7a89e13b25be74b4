"""What is done in the background: merging, and retention of half of what there is."""

import asyncio
import time
from pathlib import Path

from obs_core import LogEntry, LogQuery
from obs_storage_sqlite import SQLiteStorage
from obs_storage_sqlite._database import Database
from shared.data import START
from shared.tools import collect, report


async def longest_lock(storage: SQLiteStorage) -> str:
    """Of the write lock, since it was last asked."""

    def take(database: Database) -> float:
        longest, database.longest = database.longest, 0.0
        return longest

    return f"longest write lock {1000 * await storage.run(take):.0f} ms"


async def bench_retention(storage: SQLiteStorage, folder: Path, count: int) -> None:
    newest = (await collect(storage, LogQuery(order="desc", limit=1)))[0].entry.timestamp
    await storage.run(Database.checkpoint)
    before = (folder / "logs.db").stat().st_size
    pauses: list[float] = []
    done = asyncio.Event()

    async def write() -> None:
        async with SQLiteStorage(folder / "logs.db") as other:
            while not done.is_set():
                begun = time.perf_counter()
                await other.logs.write([LogEntry(newest, "INFO", "meanwhile")])
                pauses.append(time.perf_counter() - begun)
                await asyncio.sleep(0.01)

    writing = asyncio.create_task(write())
    await asyncio.sleep(0.3)
    begun = time.perf_counter()
    await longest_lock(storage)
    deleted = await storage.logs.delete_before(START + (newest - START) / 2)
    spent = time.perf_counter() - begun
    lock = await longest_lock(storage)
    done.set()
    await writing
    await storage.run(Database.checkpoint)
    after = (folder / "logs.db").stat().st_size
    report(
        f"retention of {deleted:,} of {count:,}",
        f"{spent:.2f} s",
        f"file {100 * (1 - after / before):.0f} % smaller, longest write {max(pauses) * 1000:.0f} ms",
        "",
        "1 s, 45 %, 50 ms",
    )
    report("", "", lock, "", "20 ms")
    begun = time.perf_counter()
    deleted = await storage.logs.delete_before(newest, level="DEBUG")
    spent = time.perf_counter() - begun
    report(f"the rest of a level, {deleted:,}", f"{spent:.2f} s", await longest_lock(storage), "", "20 ms")
    begun = time.perf_counter()
    while await storage.maintain():
        pass
    spent = time.perf_counter() - begun
    report("maintenance after it", f"{spent:.2f} s", await longest_lock(storage), "", "20 ms")
