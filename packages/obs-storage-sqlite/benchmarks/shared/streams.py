"""A stream over everything, while new entries come, blocks are merged and the oldest are deleted."""

import asyncio
import itertools
import sys
import time
from pathlib import Path

from obs_core import LogEntry, LogQuery
from obs_storage_sqlite import SQLiteStorage
from shared.data import batched
from shared.tools import report

# Entries between two rests of the reader, and the seconds of each.
_REST, _SECONDS = 2_000, 0.002


async def bench_stream(folder: Path, entries: list[LogEntry], count: int) -> None:
    path = folder / "stream.db"
    async with SQLiteStorage(path) as storage, SQLiteStorage(path) as other:
        for batch in batched(itertools.islice(itertools.cycle(entries), count), 4000):
            await storage.logs.write(batch)
        meanwhile = asyncio.create_task(_meanwhile(other, entries[:1000], count))
        seen: list[int] = []
        begun = time.perf_counter()
        async for stored in storage.logs.read(LogQuery()):
            seen.append(int(stored.cursor.rpartition("-")[2]))
            if len(seen) % _REST == 0:
                await asyncio.sleep(_SECONDS)
            if len(seen) == count:
                meanwhile.cancel()
        spent = time.perf_counter() - begun
        writes, steps = await meanwhile
        left = {int(one.cursor.rpartition("-")[2]) async for one in storage.logs.read(LogQuery())}
    lost = {number for number in left if number <= seen[-1]}.difference(seen)
    if seen != sorted(set(seen)) or lost:
        sys.exit(f"a stream lost {len(lost)} entries, or saw some twice or out of order")
    report(
        f"a stream of {len(seen):,} while {max(left) - len(left):,} went",
        f"{len(seen) / spent:,.0f}/s",
        f"{len(writes)} writes, {steps} steps; p99 {sorted(writes)[len(writes) * 99 // 100] * 1000:.0f} ms",
        "",
        "none lost, none twice, in order",
    )


async def _meanwhile(storage: SQLiteStorage, batch: list[LogEntry], count: int) -> tuple[list[float], int]:
    """Seconds of each write, and the steps of merging; until it is cancelled."""
    spent: list[float] = []
    steps = 0
    try:
        while True:
            begun = time.perf_counter()
            await storage.logs.write(batch)
            spent.append(time.perf_counter() - begun)
            steps += await storage.maintain()
            if len(spent) % 20 == 0:
                await storage.logs.keep_newest(count - 2000 * len(spent))
            await asyncio.sleep(0.005)
    except asyncio.CancelledError:
        return spent, steps
