"""What every storage of metrics must do. A subclass gives a fixture `storage`: an open, empty storage."""

import math

import pytest

from obs_core import MetricMetadata, MetricQuery, MetricSample, Storage, StorageClosedError

from ._wrong import NO_METADATA, NO_SAMPLES, Change, shown


def sample(value: float = 1.0, timestamp: float = 1000.0, name: str = "depth", **labels: str) -> MetricSample:
    return MetricSample(name, value, timestamp, labels)


async def read(storage: Storage, **query: object) -> list[MetricSample]:
    return [one async for one in storage.metrics.read(MetricQuery(**query))]  # type: ignore[arg-type]


@pytest.mark.asyncio
class MetricsStorageConformance:
    """For `storage.metrics`, a `MetricsStoragePort`."""

    async def test_what_is_written_is_read_back_in_order(self, storage: Storage) -> None:
        written = [sample(1.5, 3.0, plan="pro"), sample(-2.0, 1.0), sample(0.1, 2.0, "other", q='"\\\n')]
        await storage.metrics.write(written)
        assert await read(storage) == written

    async def test_values_that_are_not_finite_come_back(self, storage: Storage) -> None:
        await storage.metrics.write([sample(math.inf), sample(-math.inf), sample(math.nan)])
        values = [one.value for one in await read(storage)]
        assert values[:2] == [math.inf, -math.inf]
        assert math.isnan(values[2])

    async def test_name_and_labels_and_time_are_filters(self, storage: Storage) -> None:
        await storage.metrics.write(
            [sample(float(n), float(n), "a" if n % 2 else "b", plan="pro", n=str(n)) for n in range(10)]
        )
        assert [one.value for one in await read(storage, name="a", since=3.0, until=7.0)] == [3.0, 5.0]
        assert [one.value for one in await read(storage, labels={"n": "4"})] == [4.0]
        assert len(await read(storage, labels={"plan": "pro"}, limit=3)) == 3
        assert await read(storage, labels={"plan": "free"}) == []

    async def test_series_are_arrays(self, storage: Storage) -> None:
        for time in range(3):
            await storage.metrics.write([sample(time * 1.0, float(time), q=q) for q in "ab"])
        series = [one async for one in storage.metrics.read_series(MetricQuery(name="depth", since=1.0))]
        assert [(dict(one.labels), one.times.tolist(), one.values.tolist()) for one in series] == [
            ({"q": "a"}, [1.0, 2.0], [1.0, 2.0]),
            ({"q": "b"}, [1.0, 2.0], [1.0, 2.0]),
        ]
        assert len([one async for one in storage.metrics.read_series(MetricQuery(limit=1))]) == 1

    async def test_the_newest_metadata_of_a_family_wins(self, storage: Storage) -> None:
        await storage.metrics.write(
            [], [MetricMetadata("b", "gauge", "Old."), MetricMetadata("a", "counter", "A.")]
        )
        await storage.metrics.write([sample()], [MetricMetadata("b", "gauge", "New.")])
        assert list(await storage.metrics.metadata()) == [
            MetricMetadata("a", "counter", "A."),
            MetricMetadata("b", "gauge", "New."),
        ]

    async def test_a_batch_is_written_all_or_none(self, storage: Storage) -> None:
        with pytest.raises(TypeError, match="MetricSample"):
            await storage.metrics.write([sample(), 3])  # type: ignore[list-item]
        with pytest.raises(TypeError, match="MetricMetadata"):
            await storage.metrics.write([sample()], ["depth"])  # type: ignore[list-item]
        assert await read(storage) == []
        assert list(await storage.metrics.metadata()) == []

    @pytest.mark.parametrize("change", NO_SAMPLES, ids=shown)
    async def test_a_field_of_another_type_is_refused_with_its_batch(
        self, storage: Storage, change: Change
    ) -> None:
        wrong = MetricSample(**{"name": "depth", "value": 1.0, "timestamp": 1.0, **change})  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="nothing of the batch was"):
            await storage.metrics.write([sample(), wrong])
        assert await storage.metrics.count() == 0

    @pytest.mark.parametrize("change", NO_METADATA, ids=shown)
    async def test_metadata_of_another_type_is_refused_with_its_batch(
        self, storage: Storage, change: Change
    ) -> None:
        wrong = MetricMetadata(**{"name": "depth", **change})  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="nothing of the batch was"):
            await storage.metrics.write([sample()], [wrong])
        assert (await storage.metrics.count(), list(await storage.metrics.metadata())) == (0, [])

    async def test_whole_numbers_are_values_and_times(self, storage: Storage) -> None:
        await storage.metrics.write([MetricSample("depth", 3, 7)])
        assert [(one.value, one.timestamp) for one in await read(storage, since=7.0)] == [(3.0, 7.0)]

    async def test_deletions_tell_how_many(self, storage: Storage) -> None:
        await storage.metrics.write([sample(float(n), float(n)) for n in range(10)])
        assert await storage.metrics.delete_before(3.0) == 3
        assert await storage.metrics.keep_newest(5) == 2
        assert [one.value for one in await read(storage)] == [5.0, 6.0, 7.0, 8.0, 9.0]
        assert await storage.metrics.count() == 5

    async def test_shrink_deletes_the_oldest_until_the_bound_holds(self, storage: Storage) -> None:
        for start in range(0, 20_000, 1000):
            await storage.metrics.write([sample(float(start + n), float(start + n)) for n in range(1000)])
        bound = await storage.metrics.size() // 2
        deleted = await storage.metrics.shrink(bound)
        assert await storage.metrics.size() <= bound
        assert (await read(storage, limit=1))[0].value == float(deleted)
        assert await storage.metrics.count() == 20_000 - deleted > 5000

    async def test_a_closed_storage_says_so(self, storage: Storage) -> None:
        await storage.__aexit__(None, None, None)
        with pytest.raises(StorageClosedError, match="not open"):
            await storage.metrics.write([sample()])
        with pytest.raises(StorageClosedError, match="not open"):
            await read(storage)
        await storage.__aenter__()
