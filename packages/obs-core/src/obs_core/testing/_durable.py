"""What a storage that outlives its process must do. A subclass gives a fixture `reopen`."""

from collections.abc import Callable

import pytest

from obs_core import LogEntry, LogQuery, MetricMetadata, MetricQuery, MetricSample, Storage

Reopen = Callable[[], Storage]


@pytest.mark.asyncio
class DurableConformance:
    """For storages on disk. `reopen()` makes a new, closed storage on the same place each time it is called."""

    async def test_what_was_acknowledged_is_there_after_a_restart(self, reopen: Reopen) -> None:
        entries = [LogEntry(float(n), "INFO", str(n)) for n in range(10)]
        async with reopen() as storage:
            await storage.logs.write(entries)
            await storage.metrics.write([MetricSample("a", 1.0, 1.0)], [MetricMetadata("a", "gauge", "A.")])
        async with reopen() as storage:
            assert [stored.entry async for stored in storage.logs.read(LogQuery())] == entries
            assert [one.value async for one in storage.metrics.read(MetricQuery())] == [1.0]
            assert list(await storage.metrics.metadata()) == [MetricMetadata("a", "gauge", "A.")]

    async def test_cursors_go_on_over_a_restart(self, reopen: Reopen) -> None:
        async with reopen() as storage:
            await storage.logs.write([LogEntry(1.0, "INFO", "a")])
            cursor = [stored.cursor async for stored in storage.logs.read(LogQuery())][-1]
            await storage.logs.keep_newest(0)
        async with reopen() as storage:
            await storage.logs.write([LogEntry(2.0, "INFO", "b")])
            assert [s.entry.message async for s in storage.logs.read(LogQuery(after=cursor))] == ["b"]

    async def test_two_that_are_open_at_once_see_each_other(self, reopen: Reopen) -> None:
        async with reopen() as first, reopen() as second:
            await first.logs.write([LogEntry(1.0, "INFO", "a")])
            await second.logs.write([LogEntry(1.0, "INFO", "b")])
            assert [s.entry.message async for s in first.logs.read(LogQuery())] == ["a", "b"]
