import pytest_asyncio

from obs_core import LogHandler, MemoryStorage, Registry


class Owner:
    """The least that an adapter needs of a runtime."""

    def __init__(self, storage: MemoryStorage) -> None:
        self.registry = Registry()
        self.storage = storage
        self.handler = LogHandler()
        self.reports: list[str] = []

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def collect(self):
        return self.registry.collect()

    def on_stopping(self, callback):
        return lambda: None

    def announce(self, line: str) -> None: ...

    def report(self, step: str, error: BaseException) -> None:
        self.reports.append(f"{step}: {error}")


@pytest_asyncio.fixture
async def owner():
    async with MemoryStorage() as storage:
        yield Owner(storage)
