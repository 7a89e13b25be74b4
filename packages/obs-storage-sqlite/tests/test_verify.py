import sqlite3
from pathlib import Path

import pytest

from obs_core import LogEntry, LogQuery, MetricQuery, MetricSample
from obs_storage_sqlite import SQLiteStorage, _metric_rows, _sealing

pytestmark = pytest.mark.integration


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(_sealing, "MAX_ENTRIES", 20)
    for name in ("_ROWS", "_FEW"):
        monkeypatch.setattr(_metric_rows, name, 10)


async def filled(path: Path) -> None:
    async with SQLiteStorage(path) as storage:
        for batch in range(10):
            await storage.logs.write([LogEntry(float(batch), "INFO", f"{batch} {n}") for n in range(5)])
        for time in range(15):
            await storage.metrics.write([MetricSample("a", float(time), float(time))])
        while await storage.maintain():
            pass
        assert await storage.verify() == []


@pytest.mark.parametrize(
    ("statement", "where", "what"),
    [
        ("UPDATE parts SET data = zeroblob(9) WHERE id = 8", "blocks 1", "checksum of part 0"),
        ("UPDATE parts SET data = zeroblob(9) WHERE id = 13", "blocks 1", "checksum of part 5"),
        ("UPDATE blocks SET error = 1 WHERE id = 1", "blocks 1", "counts by level"),
        ("UPDATE blocks SET newest = 0 WHERE id = 1", "blocks 1", "newest in time"),
        ("UPDATE blocks SET last = 21 WHERE id = 1", "blocks 1", "last cursor"),
        ("DELETE FROM parts WHERE id = 9", "blocks 1", "cannot be read"),
        ("UPDATE head SET rows = 4 WHERE id = 41", "head 41", "rows"),
        ("UPDATE chunks SET checksum = 1", "windows 1", "cannot be read"),
        ("UPDATE windows SET samples = 9", "windows 1", "samples"),
        ("UPDATE points SET data = zeroblob(8) WHERE id = 12", "points 12", "checksum"),
    ],
)
@pytest.mark.asyncio
async def test_verify_says_what_is_wrong_and_where(tmp_path, small, statement, where, what):
    path = tmp_path / "obs.db"
    await filled(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute(statement).rowcount
    connection.close()
    async with SQLiteStorage(path) as storage:
        problems = [problem for problem in await storage.verify() if problem.where == where]
    assert what in problems[0].what


@pytest.mark.asyncio
async def test_damage_is_left_out_of_answers_and_counted(tmp_path, small):
    path = tmp_path / "obs.db"
    await filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE parts SET data = zeroblob(9) WHERE id = 9")
        connection.execute("UPDATE chunks SET data = zeroblob(9)")
        connection.execute("UPDATE points SET data = zeroblob(8) WHERE id = 12")
    connection.close()
    async with SQLiteStorage(path) as storage:
        assert len([one async for one in storage.logs.read(LogQuery())]) == 30
        assert [one.value async for one in storage.metrics.read(MetricQuery())] == [10.0, 12.0, 13.0, 14.0]
        series = [one async for one in storage.metrics.read_series(MetricQuery())]
        assert series[0].values.tolist() == [10.0, 12.0, 13.0, 14.0]
        assert storage.logs.damage.count == 1
        assert storage.metrics.damage.count >= 2


@pytest.mark.asyncio
async def test_a_damaged_flush_makes_way_for_the_others(tmp_path, small):
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path) as storage:
        for batch in range(12):
            await storage.logs.write([LogEntry(float(batch), "INFO", f"{batch}") for n in range(5)])
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE head SET data = zeroblob(9) WHERE id = 6")
        connection.close()
        while await storage.maintain():
            pass
        assert len([one async for one in storage.logs.read(LogQuery())]) == 55
        # It is still there to be looked at, until retention takes it.
        assert [problem.where for problem in await storage.verify()] == ["blocks 6"]
        assert await storage.logs.delete_before(100.0) == 60
        assert await storage.verify() == []
