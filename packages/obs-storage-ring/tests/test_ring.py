import subprocess
import sys

import pytest
import pytest_asyncio

from obs_core import ConfigurationError, LogEntry, LogQuery, MetricSample, StorageError
from obs_core.testing import LogStorageConformance, MetricsStorageConformance
from obs_storage_ring import RingStorage

pytestmark = pytest.mark.unit


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
