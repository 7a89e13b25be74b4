"""A file that was written by a Python of other Unicode tables, to which letters were unknown that ours folds."""

import pytest

from obs_core import LogEntry, LogQuery
from obs_storage_sqlite import SQLiteStorage, _blocks, _filters, _sealed, _sealing

pytestmark = pytest.mark.integration


async def sealed(storage: SQLiteStorage, messages: list[str]) -> None:
    for message in messages:
        await storage.logs.write([LogEntry(1.0, "INFO", message, {"n": 1})] * 2)
    while await storage.maintain():
        pass


async def found(storage: SQLiteStorage, text: str) -> list[str]:
    return [one.entry.message async for one in storage.logs.read(LogQuery(text=text))]


@pytest.mark.asyncio
async def test_a_letter_that_the_writer_did_not_know_is_found_and_filters_of_ascii_are_used_on(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(_sealing, "MAX_ENTRIES", 4)
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        with monkeypatch.context() as older:
            older.setattr(_sealed, "TABLES", 130000)
            older.setattr(_blocks, "folded", lambda text: text.lower().replace("\u044f", "\u042f").encode())
            await sealed(
                storage, ["\u042f\u042f\u042f\u042f paid", "\u042f\u042f\u042f\u042f sent", "plain", "words"]
            )
        assert await storage.fetch("SELECT id / 8, max(checksum >> 32) FROM parts GROUP BY id / 8", ()) == [
            (1, 130000),
            (5, 0),
        ]
        assert await storage.verify() == []
        assert (
            await found(storage, "\u044f\u044f\u044f\u044f")
            == ["\u042f\u042f\u042f\u042f paid"] * 2 + ["\u042f\u042f\u042f\u042f sent"] * 2
        )
        looked = []
        view = _sealed.BlockView.rows
        monkeypatch.setattr(
            _sealed.BlockView, "rows", lambda self, *values: looked.append(self._first) or view(self, *values)
        )
        assert await found(storage, "words") == ["words"] * 2
        # The block that is not of ASCII was not opened for a text that is.
        assert looked == [5]
        monkeypatch.setattr(_filters, "TABLES", 130000)
        assert await found(storage, "\u044f\u044f\u044f\u044f") == []


@pytest.mark.asyncio
async def test_a_filter_says_which_tables_it_was_made_with_where_it_depends_on_them(tmp_path, monkeypatch):
    monkeypatch.setattr(_sealing, "MAX_ENTRIES", 2)
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        await sealed(storage, ["na\u00efve", "plain"])
        marks = await storage.fetch("SELECT id, checksum >> 32 FROM parts ORDER BY id", ())
    assert marks == [(8 * block + part, mark) for block in (1, 3) for part, mark in marks_of(block)]


def marks_of(block: int) -> list[tuple[int, int]]:
    return [(part, _filters.TABLES if block == 1 and part > 3 else 0) for part in range(8)]
