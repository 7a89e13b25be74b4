import asyncio
import random
import sqlite3
import time
from array import array

import pytest

from obs_core import LogEntry, LogQuery, MetricSample, StorageError
from obs_storage_sqlite import SQLiteStorage, _sealing
from obs_storage_sqlite._columns import bytes_of
from obs_storage_sqlite._database import Database
from obs_storage_sqlite._writers import Batch, Batches, is_stored, note

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


@pytest.mark.parametrize("reopened", [False, True])
@pytest.mark.asyncio
async def test_many_batches_that_were_given_up_and_come_again_are_stored_once(tmp_path, reopened):
    batches = [entries(20, 20 * n) for n in range(150)]
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        busy = asyncio.ensure_future(storage.run(lambda _: time.sleep(0.2)))
        await asyncio.sleep(0)
        waiting = [asyncio.ensure_future(storage.logs.write(batch)) for batch in batches]
        await asyncio.sleep(0)
        for one in waiting:
            one.cancel()
        await asyncio.wait([busy, *waiting])
        if reopened:
            await storage.__aexit__(None, None, None)
            await storage.__aenter__()
        await settle(storage)
        assert await storage.logs.count() == 3000
        for batch in batches:
            await storage.logs.write(batch)
        assert await storage.logs.count() == 3000
        await settle(storage)
        for batch in batches:  # not again: these are new ones
            await storage.logs.write(batch)
        assert await storage.logs.count() == 6000


@pytest.mark.asyncio
async def test_the_first_of_many_batches_is_known_after_they_became_blocks(tmp_path, unanswered):
    first = entries(40)
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        unanswered()
        with pytest.raises(StorageError, match="lost"):
            await storage.logs.write(first)
        for start in range(40, 8800, 40):
            await storage.logs.write(entries(40, start))
            await storage.metrics.write([MetricSample("a", float(start), 1.0)])
        await settle(storage)
        held = await storage.logs.count()
        await storage.logs.write(first)
        assert await storage.logs.count() == held == 8800
        ranges = await storage.fetch("SELECT max(length(numbers)) FROM writers", ())
        assert ranges == [(24,)]  # one range each, however many there were


@pytest.mark.asyncio
async def test_the_numbers_of_an_earlier_file_are_known_as_they_were(tmp_path):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        await storage.run(lambda database: database.transaction(lambda connection: _list_of(connection)))

        def asked(number: int) -> bool:
            batch = Batch("00" * 8, number)
            batch.again = True
            return is_stored(database._connection, batch)

        database = await storage.run(lambda database: database)
        assert [await storage.run(lambda _, n=n: asked(n)) for n in (1, 2, 3, 5)] == [True, False, True, True]
        await storage.run(
            lambda one: one.transaction(lambda connection: note(connection, Batch("00" * 8, 2)))
        )
        assert [await storage.run(lambda _, n=n: asked(n)) for n in (1, 2, 3, 4)] == [True, True, True, False]


def _list_of(connection: sqlite3.Connection) -> None:
    numbers = bytes_of(array("Q", [1, 3, 5]))
    connection.execute("INSERT INTO writers VALUES (?, 0, ?, ?)", ("00" * 8, time.time(), numbers))


@pytest.mark.asyncio
async def test_what_is_held_for_a_retry_is_bounded(monkeypatch):
    monkeypatch.setattr("obs_storage_sqlite._writers._FAILED", 100)
    batches, records = Batches(), [[object()] for _ in range(5)]
    numbers = [batches.begin(one, lambda: 0) for one in records]
    for one, batch in zip(records, numbers, strict=True):
        batches.failed(one, 0, 40, batch)
    again = [batches.begin(one, lambda: 0) is batch for one, batch in zip(records, numbers, strict=True)]
    assert again == [False, False, False, True, True]
