import asyncio
import random
import time

import pytest

from obs_core import LogEntry, LogQuery, MetricSample, StorageError
from obs_storage_sqlite import SQLiteStorage, _sealing
from obs_storage_sqlite._database import Database

pytestmark = pytest.mark.integration


def entries(count: int, start: int = 0) -> list[LogEntry]:
    return [LogEntry(1000.0 + start + n, "INFO", f"paid {start + n}", {"order": n}) for n in range(count)]


async def settle(storage: SQLiteStorage) -> None:
    while await storage.maintain():
        pass


async def cursors(storage: SQLiteStorage) -> list[int]:
    return [int(one.cursor.rpartition("-")[2]) async for one in storage.logs.read(LogQuery())]


@pytest.fixture
def unanswered(monkeypatch):
    """The next transaction is committed, but whoever asked hears of a failure."""

    def arm() -> None:
        commit = Database.transaction

        def transaction(self, work):
            monkeypatch.setattr(Database, "transaction", commit)
            commit(self, work)
            raise StorageError("the answer was lost")

        monkeypatch.setattr(Database, "transaction", transaction)

    return arm


@pytest.mark.parametrize("before_the_second_try", ["nothing", "sealed", "deleted"])
@pytest.mark.asyncio
async def test_a_batch_that_was_stored_without_an_answer_is_stored_once(
    tmp_path, unanswered, before_the_second_try
):
    batch = entries(3)
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        unanswered()
        with pytest.raises(StorageError, match="lost"):
            await storage.logs.write(batch)
        if before_the_second_try == "sealed":
            await storage.logs.write(entries(4000, 100))
            await settle(storage)
        if before_the_second_try == "deleted":
            await storage.logs.keep_newest(0)
        held = await storage.logs.count()
        await storage.logs.write(batch)
        assert await storage.logs.count() == held
        await storage.logs.write(batch)
        assert await storage.logs.count() == held + 3


@pytest.mark.asyncio
async def test_a_batch_of_samples_that_was_stored_without_an_answer_is_stored_once(tmp_path, unanswered):
    batch = [MetricSample("a", 1.0, 1.0)]
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        unanswered()
        with pytest.raises(StorageError, match="lost"):
            await storage.metrics.write(batch)
        await storage.metrics.write(batch)
        assert await storage.metrics.count() == 1


@pytest.mark.asyncio
async def test_a_batch_that_is_tried_again_while_it_still_waits_is_stored_once(tmp_path):
    batch = entries(3)
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        busy = asyncio.ensure_future(storage.run(lambda _: time.sleep(0.2)))
        await asyncio.sleep(0)
        first = asyncio.ensure_future(storage.logs.write(batch))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        await storage.logs.write(batch)
        await busy
        assert await storage.logs.count() == 3


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.asyncio
async def test_no_cursor_is_given_twice_also_when_everything_was_deleted(tmp_path, sealed):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        await storage.logs.write(entries(4000))
        if sealed:
            await settle(storage)
        await storage.logs.keep_newest(0)
        await storage.logs.write(entries(1))
        assert await cursors(storage) == [4001]
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        await storage.logs.keep_newest(0)
        await storage.logs.write(entries(1))
        assert await cursors(storage) == [4002]


@pytest.mark.asyncio
async def test_batches_that_wait_together_become_one_row(tmp_path):
    batches = [entries(10, 10 * n) for n in range(8)]
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        busy = asyncio.ensure_future(storage.run(lambda _: time.sleep(0.2)))
        await asyncio.gather(*(storage.logs.write(batch) for batch in batches))
        await busy
        assert await storage.fetch("SELECT count(*) FROM head", ()) == [(1,)]
        found = [one.entry async for one in storage.logs.read(LogQuery())]
        assert found == [entry for batch in batches for entry in batch]
        assert await storage.verify() == []


@pytest.mark.asyncio
async def test_a_flush_touches_nothing_but_its_own_row(tmp_path):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        await storage.logs.write(entries(25))
        assert await storage.fetch("SELECT count(*) FROM writers", ()) == [(0,)]
        page = (await storage.fetch("PRAGMA page_size", ()))[0][0]
        before = (tmp_path / "obs.db-wal").stat().st_size
        await storage.logs.write(entries(1))
        frames = ((tmp_path / "obs.db-wal").stat().st_size - before) // (page + 24)
    assert frames <= 2


@pytest.mark.asyncio
async def test_a_merge_does_not_write_the_pages_that_it_frees(tmp_path):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        chance = random.Random(1)
        for start in range(0, 4000, 25):
            await storage.logs.write(
                [LogEntry(float(start + n), "INFO", chance.randbytes(40).hex()) for n in range(25)]
            )
        freed = (await storage.fetch("SELECT sum(length(data)) FROM head", ()))[0][0]
        await storage.run(Database.checkpoint)
        await settle(storage)
        assert await storage.fetch("SELECT count(*) FROM blocks", ()) == [(1,)]
        block = (await storage.fetch("SELECT sum(length(data)) FROM parts", ()))[0][0]
        written = (tmp_path / "obs.db-wal").stat().st_size
    # The block, with the bookkeeping of its pages.
    assert written < block + freed / 4


@pytest.mark.asyncio
async def test_a_storage_that_is_at_rest_is_not_looked_through_again_until_somebody_writes(
    tmp_path, monkeypatch
):
    looks = []
    look = _sealing.plan_seal
    monkeypatch.setattr(_sealing, "plan_seal", lambda database: looks.append(1) or look(database))
    async with SQLiteStorage(tmp_path / "obs.db") as storage, SQLiteStorage(tmp_path / "obs.db") as other:
        await settle(storage)
        looks.clear()
        await settle(storage)
        assert not looks
        await other.logs.write(entries(4000))
        await settle(storage)
        assert looks
        assert await storage.fetch("SELECT count(*) FROM blocks", ()) == [(1,)]
