"""A stream that is slower than what happens under it: new entries, merges, retention."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from obs_core import LogEntry, LogQuery
from obs_storage_sqlite import SQLiteStorage

pytestmark = pytest.mark.integration

HALF, BATCH = 10_000, 250
# Entries that are read between two steps of what happens meanwhile.
PAUSE = 200


def batch(first: int) -> list[LogEntry]:
    """Each says which cursor it gets."""
    return [
        LogEntry(float(n), "DEBUG" if n % 3 else "INFO", f"{n} " + "x" * 50, {"n": n})
        for n in range(first, first + BATCH)
    ]


async def happen(storage: SQLiteStorage) -> AsyncIterator[None]:
    """Step by step: as many entries again, merges, and retention by age, by number and of a level."""
    for first in range(HALF + 1, 2 * HALF, BATCH):
        await storage.logs.write(batch(first))
        yield
        while await storage.maintain():
            yield
        step = first // BATCH
        if step % 5 == 0:
            await storage.logs.delete_before(first - 0.9 * HALF)
        elif step % 5 == 2:
            await storage.logs.keep_newest(HALF // 2, level="DEBUG")
        elif step % 5 == 4:
            await storage.logs.keep_newest(int(0.8 * HALF))


async def numbers(storage: SQLiteStorage, query: LogQuery) -> AsyncIterator[int]:
    async for stored in storage.logs.read(query):
        number = int(stored.cursor.rpartition("-")[2])
        assert stored.entry.message.startswith(f"{number} ")
        yield number


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.asyncio
async def test_a_slow_reader_sees_each_entry_once_and_keeps_nobody_from_writing(tmp_path: Path, order: Any):
    async with SQLiteStorage(tmp_path / "obs.db") as storage, SQLiteStorage(tmp_path / "obs.db") as other:
        for first in range(1, HALF, BATCH):
            await storage.logs.write(batch(first))
        happening = happen(other)
        seen: list[int] = []
        async for number in numbers(storage, LogQuery(order=order)):
            seen.append(number)
            if len(seen) % PAUSE == 0:
                # While it stands still, each step comes to its end.
                await asyncio.wait_for(anext(happening, None), 30)
        ((blocks,),) = await storage.fetch("SELECT count(*) FROM blocks", ())
        left = [number async for number in numbers(storage, LogQuery())]
        journal = (tmp_path / "obs.db-wal").stat().st_size
    assert seen == sorted(set(seen), reverse=order == "desc")
    # What was not seen is gone: nothing between the ends of the stream was passed over.
    assert {n for n in left if n <= max(seen)} <= set(seen)
    assert len(left) < HALF < max(left)
    assert max(seen) > HALF if order == "asc" else max(seen) == HALF
    assert blocks
    assert journal < 8_000_000
