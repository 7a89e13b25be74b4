import os

import pytest

from obs_core import LogEntry, LogHandler, LogQuery, MemoryStorage, RetentionPolicy
from obs_runtime._retention import Retention
from obs_runtime._status import Status
from obs_runtime._steps import Maintenance
from obs_storage_sqlite import SQLiteStorage

pytestmark = pytest.mark.integration


@pytest.mark.asyncio
async def test_a_file_keeps_to_its_bound_while_it_is_written_faster_than_retention_is_due(tmp_path):
    status = Status(LogHandler())
    policy = RetentionPolicy(max_bytes=32_000_000, levels={"DEBUG": RetentionPolicy(max_count=50)})
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        retention = Retention(storage, policy, RetentionPolicy(), status)
        largest = 0
        for second in range(30):
            for _ in range(4):
                text = os.urandom(6_000).hex()
                entries = [LogEntry(float(second), "INFO", f"{second} {n} {text}") for n in range(20)]
                await storage.logs.write(
                    [
                        *entries,
                        *(LogEntry(float(second), "DEBUG", os.urandom(50_000).hex()) for _ in range(10)),
                    ]
                )
            # Far more often than its interval of ten seconds.
            await retention.tick(float(second) / 100, 1.0)
            largest = max(largest, await storage.size())
        assert largest <= 32_000_000 + 24_000_000
        assert await storage.logs.count(level="DEBUG") <= 50 + 40
        newest = [one.entry async for one in storage.logs.read(LogQuery(level="INFO", order="desc", limit=1))]
        assert newest[0].message.startswith("29 ")
    (deleted,) = [
        family for family in status.registry.collect() if family.metadata.name == "obs_retention_deleted"
    ]
    assert deleted.values[0] > 0


@pytest.mark.asyncio
async def test_what_was_set_aside_counts_in_full(tmp_path):
    (tmp_path / "obs.db.corrupt-1").write_bytes(bytes(40_000_000))
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        retention = Retention(
            storage, RetentionPolicy(max_bytes=60_000_000), RetentionPolicy(), Status(LogHandler())
        )
        for second in range(4):
            for _ in range(4):
                texts = [os.urandom(60_000).hex() for _ in range(20)]
                await storage.logs.write([LogEntry(float(second), "INFO", text) for text in texts])
            await retention.tick(second * 20.0, 1.0)
        assert await storage.set_aside() >= 40_000_000
        assert await storage.logs.size() < 20_000_000
        assert 40_000_000 < await storage.size() < 60_000_000 + 8_000_000


@pytest.mark.parametrize(
    ("logs", "metrics", "limit"), [(400_000_000, 100_000_000, 500_000_000), (None, 1, 0), (1, None, 0)]
)
@pytest.mark.asyncio
async def test_the_bound_is_told_beside_the_bytes_where_there_is_one(logs, metrics, limit):
    status = Status(LogHandler())
    async with MemoryStorage() as storage:
        policies = (RetentionPolicy(max_bytes=logs), RetentionPolicy(max_bytes=metrics))
        await Retention(storage, *policies, status).tick(0.0, 0.0)
    assert list(status.bytes_limit.values()) == [limit]


@pytest.mark.asyncio
async def test_a_storage_that_needs_no_care_is_left_alone():
    async with MemoryStorage() as storage:
        await Maintenance(storage).tick(0.0, 0.0)


@pytest.mark.asyncio
async def test_maintenance_merges_what_was_flushed(tmp_path):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        for _ in range(5):
            await storage.logs.write([LogEntry(1.0, "INFO", str(n)) for n in range(1000)])
        await Maintenance(storage, budget=60.0).tick(0.0, 0.0)
        assert await storage.fetch("SELECT count(*) FROM blocks", ()) == [(1,)]
