"""A reading that is broken off where the storage says how far it looked, and gone on with from there."""

import pytest

from obs_core import LogEntry, LogQuery
from obs_storage_sqlite import SQLiteStorage

pytestmark = pytest.mark.integration


class BrokenOffError(Exception):
    pass


async def in_pieces(storage: SQLiteStorage, **query: object) -> tuple[list[str], int]:
    """The messages that are found when each reading ends at its first report, and how many readings that took."""
    found, cursor, readings = [], "", 0

    def progress(reached: str) -> None:
        nonlocal cursor
        cursor = reached
        raise BrokenOffError

    while True:
        readings += 1
        try:
            async for stored in storage.logs.read(LogQuery(after=cursor, progress=progress, **query)):
                found.append(stored.entry.message)  # noqa: PERF401  # what came before the break counts
        except BrokenOffError:
            continue
        return found, readings


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.asyncio
async def test_nothing_is_lost_or_found_twice_where_a_reading_is_broken_off(tmp_path, order):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        for batch in range(60):
            numbers = range(batch * 100, batch * 100 + 100)
            await storage.logs.write(
                [
                    LogEntry(1.0, "INFO", f"{'needle' if number % 97 == 0 else 'hay'} {number}")
                    for number in numbers
                ]
            )
        found, readings = await in_pieces(storage, order=order, text="needle")
        expected = [f"needle {number}" for number in range(0, 6000, 97)]
        assert found == (expected if order == "asc" else expected[::-1])
        assert readings > 1
