"""What a storage counts is shown with what the runtime says of itself."""

import sqlite3
from contextlib import closing

import pytest

from obs_core import LogEntry, LogQuery, MemoryStorage, Registry
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage


class Counting(MemoryStorage):
    def __init__(self) -> None:
        super().__init__()
        self.registry = Registry()
        self.moved = self.registry.counter("moved_total", "Entries that were moved to another machine.")


def shown(runtime: EmbeddedRuntime) -> dict[str, float]:
    return {key: value for one in runtime.collect() for key, value in zip(one.keys, one.values, strict=True)}


@pytest.mark.unit
def test_a_storage_of_any_kind_may_count_and_begins_from_zero_with_each_runtime():
    storage = Counting()
    runtime = EmbeddedRuntime(storage)
    storage.moved.inc(3)
    assert shown(runtime)["moved_total"] == 3
    # What the one before showed stays in the totals of the board.
    assert shown(EmbeddedRuntime(storage))["moved_total"] == 0


@pytest.mark.integration
@pytest.mark.asyncio
async def test_a_damaged_block_is_counted_once_with_its_entries_and_said_however_often_it_is_met(
    tmp_path, capfd
):
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path) as storage:
        for _ in range(2):
            await storage.logs.write([LogEntry(1.0, "INFO", "kept")] * 3)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE head SET data = zeroblob(9) WHERE id = 4")
    with EmbeddedRuntime(SQLiteStorage(path)) as runtime:
        runtime.flush()
        before = shown(runtime)
        assert before['obs_storage_damaged_blocks_total{kind="logs"}'] == 0
        for _ in range(3):
            assert len([one async for one in runtime.storage.logs.read(LogQuery(until=2.0))]) == 3
        after = shown(runtime)
    assert after['obs_storage_damaged_blocks_total{kind="logs"}'] == 1
    assert after['obs_storage_damaged_records_total{kind="logs"}'] == 3
    assert after['obs_storage_damaged_blocks_total{kind="samples"}'] == 0
    assert capfd.readouterr().err.count("the block of cursor 4 is damaged and left out") == 1
