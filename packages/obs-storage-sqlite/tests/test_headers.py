"""Whatever byte of a header is flipped, answers are right, and what is missing is counted and said."""

import random
import shutil
import sqlite3
import struct
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from obs_core import LogEntry, LogQuery, Registry, StoredLog, matches_log
from obs_storage_sqlite import SQLiteStorage, _sealing
from obs_storage_sqlite._headers import COLUMNS
from obs_storage_sqlite._looking import Damage

pytestmark = pytest.mark.integration
NAMES = COLUMNS.split(", ")
BEGUN = 1764000000.0
ROUNDS = len(NAMES)
# What would do most harm if it were believed.
LIES: dict[str, list[Any]] = defaultdict(
    lambda: [0, 1 << 60, -(1 << 60)],
    oldest=[0.0, 1e18],
    newest=[0.0, 1e18],
    gone=[bytes(3), b"\xff" * 3, None],
    id=[-5, 1 << 50, 1 << 61, -(1 << 62)],
)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(_sealing, "MAX_ENTRIES", 20)


def entry(number: int) -> LogEntry:
    level = "ERROR" if number % 23 == 5 else "DEBUG" if number % 3 == 0 else "INFO"
    trace = f"{number:032x}" if number % 4 == 0 else ""
    return LogEntry(BEGUN + number / 7, level, f"line number-{number}", {"n": number}, "shop", trace)


async def filled(path: Path) -> None:
    """Blocks as they were written, blocks of which something was deleted, and flush rows."""
    async with SQLiteStorage(path) as storage:
        for batch in range(22):
            await storage.logs.write([entry(5 * batch + n) for n in range(5)])
            if batch == 9:
                await settle(storage)
                await storage.logs.delete_before(BEGUN + 100, level="DEBUG")
        await settle(storage)
        assert await storage.fetch("SELECT count(*), count(gone) FROM blocks", ()) == [(5, 2)]


async def settle(storage: SQLiteStorage) -> None:
    while await storage.maintain():
        pass


def queries() -> list[LogQuery]:
    found = [
        *(LogQuery(), LogQuery(level="ERROR"), LogQuery(text="NUMBER-77"), LogQuery(attributes={"n": "31"})),
        *(LogQuery(trace_id=f"{64:032x}"), LogQuery(since=BEGUN + 3, until=BEGUN + 9)),
        *(LogQuery(since=BEGUN + 99 / 7), LogQuery(until=BEGUN + 20 / 7, level="INFO"), LogQuery(limit=7)),
        LogQuery(since=BEGUN + 100 / 7, until=BEGUN + 101 / 7),
    ]
    return found + [LogQuery(order="desc", **changed(one)) for one in found]


def changed(query: LogQuery) -> dict[str, Any]:
    return {
        name: value for name in query.__struct_fields__ if (value := getattr(query, name)) and name != "order"
    }


async def answer(storage: SQLiteStorage, query: LogQuery) -> list[StoredLog]:
    return [one async for one in storage.logs.read(query)]


async def by_pages(storage: SQLiteStorage, order: str) -> list[StoredLog]:
    """The answer to everything, in steps that each go on from the cursor of the one before."""
    found: list[StoredLog] = []
    after = ""
    while page := await answer(storage, LogQuery(order=order, limit=7, after=after)):  # type: ignore[arg-type]
        found += page
        after = page[-1].cursor
    return found


def damaged(generator: random.Random, value: Any) -> Any:
    """The value with some bits of one of its bytes flipped, or one of another type."""
    if generator.random() < 0.1:
        return generator.choice(["odd", b"odd", 0, -1, 1.5])
    if value is None or isinstance(value, bytes):
        data = bytearray(value or bytes(3))
        data[generator.randrange(len(data))] ^= generator.randrange(1, 256)
        return bytes(data)
    form = "<d" if isinstance(value, float) else "<q"
    data = bytearray(struct.pack(form, value))
    data[generator.randrange(8)] ^= generator.randrange(1, 256)
    found = struct.unpack(form, data)[0]
    return 0.0 if found != found else found


def damages(path: Path, generator: random.Random) -> Iterator[tuple[str, int, str, Any]]:
    """Damage one column of one header after another, and take it back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for round_ in range(ROUNDS):
            name = NAMES[round_ % len(NAMES)]
            table = generator.choice(["blocks", "blocks", "blocks", "head"])
            ids = [row[0] for row in connection.execute(f"SELECT id FROM {table}")]
            place = generator.choice(ids)
            ((before,),) = connection.execute(f"SELECT {name} FROM {table} WHERE id = ?", (place,)).fetchall()
            after = damaged(generator, before)
            if after == before or (name == "id" and (not isinstance(after, int) or after in ids)):
                continue
            connection.execute(f"UPDATE {table} SET {name} = ? WHERE id = ?", (after, place))
            yield table, place, name, after
            now = after if name == "id" else place
            connection.execute(f"UPDATE {table} SET {name} = ? WHERE id = ?", (before, now))


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.asyncio
async def test_whatever_is_flipped_in_a_header_answers_are_right_and_what_is_missing_is_counted(
    tmp_path, small, capfd, seed
):
    path = tmp_path / "obs.db"
    await filled(path)
    left_out = 0
    async with SQLiteStorage(path) as storage:
        everything = await answer(storage, LogQuery())
        truth = {repr(query): await answer(storage, query) for query in queries()}
        for query in queries():
            matching = [one for one in everything if matches_log(query, one.entry)]
            expected = matching if query.order == "asc" else matching[::-1]
            assert truth[repr(query)] == expected[: query.limit]
        for case in damages(path, random.Random(seed)):
            for query in queries():
                storage.logs.damage = damage = Damage(Registry(), "logs")
                found = await answer(storage, query)
                right = [one for one in everything if matches_log(query, one.entry)]
                right = right if query.order == "asc" else right[::-1]
                assert is_within(found, right), (case, query)
                if found != truth[repr(query)]:
                    left_out += 1
                    # An id is also where a block stands: what ends before that place does not meet it.
                    assert damage.count == 1 or (case[2] == "id" and query.limit), (case, query)
            for order in ("asc", "desc"):
                storage.logs.damage = damage = Damage(Registry(), "logs")
                found = await by_pages(storage, order)
                right = everything if order == "asc" else everything[::-1]
                assert is_within(found, right), (case, order)
                assert found == right or damage.count == 1, (case, order)
            assert await storage.verify() != [], case
        assert [await answer(storage, LogQuery())] == [everything]
        assert await storage.verify() == []
    assert left_out
    assert "is damaged and" in capfd.readouterr().err


def is_within(found: list[StoredLog], right: list[StoredLog]) -> bool:
    """Whether all that was found is right, in its order, each once."""
    rest = iter(right)
    return all(one in rest for one in found)


async def left_of(storage: SQLiteStorage) -> list[str]:
    return [one.entry.message for one in await answer(storage, LogQuery())]


@pytest.mark.parametrize("work", ["age", "level", "number", "size", "merging"])
@pytest.mark.asyncio
async def test_keeping_goes_on_past_damaged_headers_and_takes_nothing_that_is_younger(tmp_path, small, work):
    """What is damaged beyond its header's repair stays; it is in no answer, and costs its own block alone."""
    await filled(tmp_path / "whole.db")
    generator = random.Random(work)
    for name in NAMES:
        path = tmp_path / f"{name}.db"
        shutil.copy(tmp_path / "whole.db", path)
        async with SQLiteStorage(path) as storage:
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                table, place = generator.choice([("blocks", 21), ("blocks", 61), ("head", 101)])
                lie = generator.choice(
                    [*LIES[name], *([] if name == "id" else [damaged(generator, 1 << 40)])]
                )
                connection.execute(f"UPDATE {table} SET {name} = ? WHERE id = ?", (lie, place))
            before = await left_of(storage)
            expected = await keep(storage, work, before)
            left = await left_of(storage)
            case = (name, table, place, lie)
            assert [one for one in expected if one not in left] == [], case
            # Numbers are those of headers: only what deletes looks into each that is damaged.
            assert await storage.logs.count() == len(left) or name == "gone" or work == "merging", case
            # What is written next is behind all that is there, whatever the damaged header says of its end.
            await storage.logs.write([entry(3000)])
            assert await left_of(storage) == [*left, entry(3000).message], case


async def keep(storage: SQLiteStorage, work: str, before: list[str]) -> list[str]:
    """Do some work of keeping; what must be left then of what was there."""
    whole = [entry(number) for number in range(110) if entry(number).message in before]
    if work == "age":
        await storage.logs.delete_before(BEGUN + 40 / 7)
        return [one.message for one in whole if one.timestamp >= BEGUN + 40 / 7]
    if work == "level":
        await storage.logs.delete_before(BEGUN + 100, level="INFO")
        return [one.message for one in whole if one.level != "INFO"]
    if work == "number":
        await storage.logs.keep_newest(50)
        return before[-50:]
    if work == "size":
        await storage.logs.shrink(await storage.logs.size() * 2 // 3)
        return before[len(before) // 2 :]
    await storage.logs.write([entry(2000)])
    await settle(storage)
    return before
