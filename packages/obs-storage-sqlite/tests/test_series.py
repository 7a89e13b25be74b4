import pytest

from obs_core import MetricQuery, MetricSample
from obs_storage_sqlite import SQLiteStorage, _metric_rows
from obs_storage_sqlite._series import Unused

pytestmark = pytest.mark.integration


def sample(series: int, timestamp: float) -> MetricSample:
    return MetricSample("a_total", float(series), timestamp, {"series": str(series)})


async def write(storage: SQLiteStorage, numbers: range, timestamp: float) -> None:
    await storage.metrics.write([sample(number, timestamp) for number in numbers])


async def settle(storage: SQLiteStorage) -> None:
    while await storage.maintain():
        pass


async def ids(storage: SQLiteStorage) -> dict[bytes, int]:
    return dict(await storage.fetch("SELECT labels, id FROM series", ()))


async def answers(storage: SQLiteStorage) -> list[MetricSample]:
    return [one async for one in storage.metrics.read(MetricQuery())]


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.asyncio
async def test_series_that_no_sample_names_any_more_are_forgotten(tmp_path, sealed, monkeypatch):
    if sealed:
        monkeypatch.setattr(_metric_rows, "_MAX_ROWS", 3)
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        for timestamp in range(3):
            await write(storage, range(2000), float(timestamp))
        await settle(storage)
        for timestamp in range(100, 103):
            await write(storage, range(1000, 1500), float(timestamp))
        await settle(storage)
        assert len(await ids(storage)) == 2000
        assert await storage.fetch("SELECT count(*) FROM windows", ()) == [(2 if sealed else 0,)]
        await storage.metrics.delete_before(50.0)
        before = await answers(storage)
        await settle(storage)
        assert len(await ids(storage)) == 500
        assert await answers(storage) == before
        assert len(before) == 1500
        assert await storage.verify() == []


@pytest.mark.asyncio
async def test_a_worker_that_knew_a_forgotten_series_learns_it_anew(tmp_path):
    async with SQLiteStorage(tmp_path / "obs.db") as storage, SQLiteStorage(tmp_path / "obs.db") as other:
        await write(other, range(4), 1.0)
        before = await ids(storage)
        await storage.metrics.delete_before(2.0)
        await settle(storage)
        assert await ids(storage) == {}
        await write(storage, range(2, 3), 3.0)
        await write(other, range(4), 4.0)
        assert await answers(storage) == [sample(2, 3.0), *(sample(n, 4.0) for n in range(4))]
        # No id is of two series, one after another: a reader may know it from before.
        assert min((await ids(storage)).values()) > max(before.values())
        assert await storage.verify() == []


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.asyncio
async def test_a_series_that_is_named_again_while_it_is_looked_for_stays(tmp_path, sealed, monkeypatch):
    monkeypatch.setattr(_metric_rows, "_MAX_ROWS", 1 if sealed else 100)
    async with SQLiteStorage(tmp_path / "obs.db") as storage, SQLiteStorage(tmp_path / "obs.db") as other:
        await write(other, range(4), 1.0)
        await storage.metrics.delete_before(2.0)
        unused = Unused()
        assert await storage.run(unused.step)
        await write(other, range(1, 2), 3.0)
        if sealed:
            found = await storage.run(_metric_rows.plan_seal)
            await storage.run(lambda database: _metric_rows.replace(database, _metric_rows.merge(found)))
            assert await storage.fetch("SELECT count(*) FROM windows", ()) == [(1,)]
        while await storage.run(unused.step):
            pass
        assert len(await ids(storage)) == 1
        assert await answers(storage) == [sample(1, 3.0)]


@pytest.mark.asyncio
async def test_series_are_not_looked_for_again_until_the_oldest_samples_went(tmp_path):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        await write(storage, range(4), 1.0)
        unused = Unused()
        while await storage.run(unused.step):
            pass
        await write(storage, range(4), 2.0)
        assert not await storage.run(unused.step)
        await storage.metrics.delete_before(2.0)
        assert await storage.run(unused.step)
