import pytest
import pytest_asyncio

from obs_core import LogEntry, LogQuery, MemoryStorage
from obs_core.testing import LogStorageConformance, MetricsStorageConformance

pytestmark = pytest.mark.unit


class TestMemoryStorage(LogStorageConformance, MetricsStorageConformance):
    @pytest_asyncio.fixture
    async def storage(self):
        async with MemoryStorage() as storage:
            yield storage


@pytest.mark.asyncio
async def test_it_is_bounded_and_forgets_the_oldest():
    async with MemoryStorage(max_entries=10) as storage:
        await storage.logs.write([LogEntry(1.0, "INFO", str(number)) for number in range(25)])
        assert [s.entry.message async for s in storage.logs.read(LogQuery())] == [
            str(n) for n in range(15, 25)
        ]


def test_it_has_no_place_on_disk():
    assert MemoryStorage().path is None


@pytest.mark.asyncio
async def test_a_forked_child_begins_with_nothing(monkeypatch):
    storage = MemoryStorage()
    async with storage:
        await storage.logs.write([LogEntry(1.0, "INFO", "the parent's")])
    monkeypatch.setattr("obs_core._memory.getpid", lambda: -1)
    async with storage:
        assert await storage.logs.count() == 0
