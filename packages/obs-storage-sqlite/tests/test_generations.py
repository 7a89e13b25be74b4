"""A file that was replaced under a living process: nothing of the old one is taken for something of the new."""

import shutil
from pathlib import Path

import pytest

from obs_core import CursorExpiredError, LogEntry, LogQuery, MetricQuery, MetricSample
from obs_core.cursors import LARGEST
from obs_storage_sqlite import SQLiteStorage, _metric_rows
from obs_storage_sqlite._database import Database

pytestmark = pytest.mark.integration


def entries(count: int, word: str) -> list[LogEntry]:
    return [LogEntry(1.0, "INFO", f"{word} {n}") for n in range(count)]


async def cursors(storage: SQLiteStorage, query: LogQuery) -> list[str]:
    return [one.cursor async for one in storage.logs.read(query)]


def remove(path: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


@pytest.mark.asyncio
async def test_a_reader_gives_and_takes_cursors_of_the_file_that_it_reads(tmp_path):
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path) as writer, SQLiteStorage(path) as reader:
        await writer.logs.write(entries(100, "old"))
        old = await cursors(reader, LogQuery())
        remove(path)
        await writer.logs.write(entries(20, "new"))
        with pytest.raises(CursorExpiredError):
            await cursors(reader, LogQuery(after=old[-1]))
        new = await cursors(reader, LogQuery())
        assert new == await cursors(writer, LogQuery())
        assert not set(new) & set(old)
        assert await cursors(reader, LogQuery(after=new[17])) == new[18:]


@pytest.mark.asyncio
async def test_a_file_that_is_replaced_between_two_pages_ends_the_reading(tmp_path):
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path) as storage:
        for _ in range(40):
            await storage.logs.write(entries(2000, "old"))
        answers = storage.logs.read(LogQuery())
        await anext(answers)
        remove(path)
        await storage.logs.write(entries(20, "new"))
        with pytest.raises(CursorExpiredError):
            assert {one.entry.message[:3] async for one in answers} == {"old"}


@pytest.mark.asyncio
async def test_the_largest_cursor_is_no_error(tmp_path):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        await storage.logs.write(entries(3, "x"))
        beyond = f"{storage.generation}-{LARGEST}"
        assert await cursors(storage, LogQuery(after=beyond)) == []
        assert len(await cursors(storage, LogQuery(after=beyond, order="desc"))) == 3


@pytest.mark.asyncio
async def test_a_backup_that_was_put_back_has_another_generation_and_its_own_series(tmp_path):
    path, backup = tmp_path / "obs.db", tmp_path / "backup"
    async with SQLiteStorage(path) as storage:
        await storage.metrics.write([MetricSample("a", 1.0, 1.0)])
        await storage.logs.write(entries(1, "one"))
        await storage.run(Database.checkpoint)
        shutil.copy(path, backup)
        await storage.metrics.write([MetricSample("orders", 2.0, 2.0)])
        await storage.logs.write(entries(5, "later"))
        after = (await cursors(storage, LogQuery()))[-1]
        remove(path)
        backup.replace(path)
        await storage.metrics.write([MetricSample("unrelated", 3.0, 3.0)])
        await storage.metrics.write([MetricSample("orders", 4.0, 4.0)])
        found = [(one.name, one.value) async for one in storage.metrics.read(MetricQuery())]
        assert found == [("a", 1.0), ("unrelated", 3.0), ("orders", 4.0)]
        with pytest.raises(CursorExpiredError):
            await cursors(storage, LogQuery(after=after))


@pytest.mark.asyncio
async def test_samples_that_came_after_a_plan_are_not_taken_for_those_that_were_planned(
    tmp_path, monkeypatch
):
    for name in ("_ROWS", "_FEW"):
        monkeypatch.setattr(_metric_rows, name, 10)
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path) as one, SQLiteStorage(path) as other:
        for time in range(10):
            await one.metrics.write([MetricSample("old", float(time), float(time))])
        window = _metric_rows.merge(await one.run(_metric_rows.plan_seal))
        await other.metrics.keep_newest(0)
        for time in range(10):
            await other.metrics.write([MetricSample("new", float(time), 100.0)])
        assert not await one.run(lambda database: _metric_rows.replace(database, window))
        assert {one.name async for one in one.metrics.read(MetricQuery())} == {"new"}
