import asyncio
import subprocess
import sys
import tracemalloc

import pytest
import pytest_asyncio

from obs_core import (
    ConfigurationError,
    LogEntry,
    LogQuery,
    MetricMetadata,
    MetricQuery,
    MetricSample,
    StorageError,
)
from obs_core.testing import LogStorageConformance, MetricsStorageConformance
from obs_storage_ring import RingStorage

pytestmark = pytest.mark.unit


@pytest_asyncio.fixture
async def ring_of_twenty_megabytes():
    async with RingStorage(max_bytes=20_000_000) as storage:
        for start in range(0, 80_000, 1000):
            await storage.logs.write(
                [LogEntry(1.0, "INFO", f"{start + number} {'x' * 150}") for number in range(1000)]
            )
        yield storage


class TestRingStorage(LogStorageConformance, MetricsStorageConformance):
    @pytest_asyncio.fixture
    async def storage(self):
        async with RingStorage() as storage:
            yield storage


def test_a_bound_that_holds_nothing_is_refused():
    with pytest.raises(ConfigurationError, match="at least 100000, not 10"):
        RingStorage(max_bytes=10)


@pytest.mark.asyncio
async def test_the_oldest_of_logs_and_metrics_go_first_and_are_counted():
    async with RingStorage(max_bytes=100_000) as storage:
        await storage.metrics.write([MetricSample("a", 1.0, 1.0)] * 10)
        for number in range(1000):
            await storage.logs.write([LogEntry(1.0, "INFO", f"{number} {'x' * 100}")])
        assert await storage.metrics.count() == 0
        messages = [stored.entry.message for stored in [s async for s in storage.logs.read(LogQuery())]]
        assert messages[-1].startswith("999 ")
        assert await storage.size() <= 100_000
        assert storage.forgotten == {"metrics": 10, "logs": 1000 - len(messages)}


@pytest.mark.asyncio
async def test_a_batch_that_can_never_fit_is_refused_and_nothing_is_forgotten_for_it():
    async with RingStorage(max_bytes=100_000) as storage:
        await storage.logs.write([LogEntry(1.0, "INFO", "kept")])
        with pytest.raises(StorageError, match="write smaller ones"):
            await storage.logs.write([LogEntry(1.0, "INFO", "x" * 1000)] * 1000)
        assert await storage.logs.count() == 1


@pytest.mark.asyncio
async def test_whichever_was_stored_first_goes_first_log_entry_or_sample():
    async with RingStorage(max_bytes=100_000) as storage:
        for number in range(3_000):
            await storage.logs.write([LogEntry(float(number), "INFO", "x" * 20)])
            await storage.metrics.write([MetricSample("depth", 1.0, float(number))])
        entry = await anext(aiter(storage.logs.read(LogQuery())))
        sample = await anext(aiter(storage.metrics.read(MetricQuery())))
        assert abs(entry.entry.timestamp - sample.timestamp) <= 1
        assert entry.entry.timestamp > 1_000


@pytest.mark.asyncio
async def test_a_reader_goes_on_where_entries_are_forgotten_under_it():
    async with RingStorage(max_bytes=100_000) as storage:
        await storage.logs.write([LogEntry(1.0, "INFO", str(number)) for number in range(600)])
        seen = []
        async for stored in storage.logs.read(LogQuery()):
            seen.append(int(stored.entry.message))
            if len(seen) == 100:
                await storage.logs.write([LogEntry(2.0, "INFO", "9999")] * 400)
        assert seen == sorted(seen)
        assert seen[:100] == list(range(100))
        assert seen[-1] == 599
        assert len(seen) < 600
        assert 9999 not in seen


@pytest.mark.asyncio
async def test_reading_all_of_it_copies_no_more_than_a_page(ring_of_twenty_megabytes):
    storage = ring_of_twenty_megabytes
    tracemalloc.start()
    try:
        count = 0
        async for _ in storage.logs.read(LogQuery(text="no such text", level="DEBUG")):
            count += 1
        assert await storage.logs.delete_before(0.0) == 0
        assert await storage.logs.count() > 50_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 0
    assert peak < 500_000


@pytest.mark.asyncio
async def test_others_in_the_loop_go_on_while_all_of_it_is_searched_or_deleted(ring_of_twenty_megabytes):
    storage = ring_of_twenty_megabytes
    turns = 0

    async def other():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(other())
    assert [stored async for stored in storage.logs.read(LogQuery(text="no such text"))] == []
    assert turns > 100
    turns = 0
    await storage.logs.keep_newest(10)
    assert turns > 100
    task.cancel()


@pytest.mark.asyncio
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_a_reading_says_how_far_it_looked(ring_of_twenty_megabytes, order):
    looked: list[int] = []

    def note(cursor: str) -> None:
        looked.append(int(cursor.partition("-")[2]))

    query = LogQuery(text="no such text", order=order, progress=note)
    assert [stored async for stored in ring_of_twenty_megabytes.logs.read(query)] == []
    assert len(looked) > 100
    assert looked == sorted(looked, reverse=order == "desc")


@pytest.mark.asyncio
async def test_chunks_of_a_few_rows_are_joined():
    async with RingStorage() as storage:
        for number in range(100):
            level = ["ERROR"] + ["DEBUG"] * 255
            await storage.logs.write([LogEntry(float(number), one, "x") for one in level])
        await storage.logs.keep_newest(0, level="DEBUG")
        times = [stored.entry.timestamp async for stored in storage.logs.read(LogQuery())]
        assert times == [float(number) for number in range(100)]
        assert len(storage._held.ring._tables["logs"].chunks) == 1


@pytest.mark.asyncio
async def test_metadata_is_within_the_bound_too():
    async with RingStorage(max_bytes=100_000) as storage:
        await storage.metrics.write([MetricSample("depth", 1.0, 1.0)] * 600)
        kept = await storage.metrics.count()
        helps = [MetricMetadata(f"m{number}", "gauge", "x" * 1000) for number in range(50)]
        await storage.metrics.write([], helps)
        assert await storage.metrics.count() < kept
        await storage.metrics.write([], helps)
        assert len(await storage.metrics.metadata()) == 50
        with pytest.raises(StorageError, match="write smaller ones"):
            await storage.metrics.write(
                [], [MetricMetadata(f"n{number}", "gauge", "x" * 1000) for number in range(60)]
            )
        assert len(await storage.metrics.metadata()) == 50


@pytest.mark.asyncio
async def test_what_cannot_be_encoded_is_refused_with_its_batch():
    async with RingStorage() as storage:
        with pytest.raises(TypeError, match="nothing of the batch was stored"):
            await storage.logs.write([LogEntry(1.0, "INFO", "fine"), LogEntry(1.0, "INFO", "a\ud800")])
        with pytest.raises(TypeError, match="nothing of the batch was stored"):
            await storage.metrics.write([], [MetricMetadata("a", "gauge", "a\ud800")])
        assert (await storage.logs.count(), await storage.metrics.metadata()) == (0, [])


@pytest.mark.integration
def test_a_forked_child_begins_with_nothing_whatever_lock_was_held(tmp_path):
    code = """
import asyncio, os, sys
from obs_core import LogEntry, LogQuery, StorageClosedError
from obs_storage_ring import RingStorage

async def write(storage, text):
    await storage.logs.write([LogEntry(1.0, "INFO", text)])
    return [(one.cursor.partition("-")[0], one.entry.message) async for one in storage.logs.read(LogQuery())]

async def child(storage):
    try:
        await storage.logs.count()
    except StorageClosedError:
        async with storage:
            return await write(storage, "child")

storage = RingStorage()
asyncio.run(storage.__aenter__())
(parent,) = asyncio.run(write(storage, "parent"))
storage._held.ring._lock.acquire()
if os.fork() == 0:
    ((generation, message),) = asyncio.run(child(storage))
    os._exit(0 if message == "child" and generation != parent[0] else 1)
storage._held.ring._lock.release()
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stderr


def test_the_memory_of_the_process_is_what_the_bound_says():
    code = """
import asyncio
from obs_core import LogEntry
from obs_storage_ring import RingStorage

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

async def main():
    async with RingStorage(max_bytes=20_000_000) as storage:
        before = resident()
        for number in range(300):
            await storage.logs.write([LogEntry(1.0, "INFO", f"{number} {n} {'x' * 200}") for n in range(1000)])
        print((resident() - before) / 20_000_000)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0.5 < float(done.stdout) < 1.3
