"""Checking every block: its checksums, and its header against its content."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final
from zlib import crc32

import aiosqlite
import msgspec

from obs_core import StorageError

from ._blocks import PARTS, block_filter
from ._filters import is_foreign, is_whole, stripes
from ._flushes import count_levels
from ._headers import COLUMNS, LOWEST_ID, Stored, as_told, header, is_sealed_by
from ._looking import DAMAGE, view
from ._metric_paging import Opened, chunks
from ._points import SeriesCache, unpack_series, unpack_values
from ._resource import Resource

_POINTS: Final = 500
_ORPHANS: Final = "SELECT DISTINCT id / 8 FROM parts WHERE id / 8 NOT IN (SELECT id FROM blocks)"


class Problem(msgspec.Struct, frozen=True):
    """What is wrong, and where."""

    where: str
    what: str


async def verify(resource: Resource) -> AsyncIterator[Problem]:
    """Every problem of a file; nothing is held between two blocks, and writers do not wait."""
    for table in ("blocks", "head"):
        place = LOWEST_ID
        while (stored := await resource.read(_reader(table, place))) is not None:
            place = stored.header.id
            for what in await asyncio.to_thread(block_problems, stored):
                yield Problem(f"{table} {place}", what)
    for (block,) in await resource.fetch(_ORPHANS, ()):
        yield Problem(f"parts {8 * block}", "they belong to no block: the id of a header may be damaged")
    place = 0
    while (window := await resource.read(_window_reader(place))) is not None:
        place = window[0]
        for what in await asyncio.to_thread(window_problems, *window[1:]):
            yield Problem(f"windows {place}", what)
    place = 0
    while rows := await resource.fetch(
        f"SELECT id, samples, series, checksum, data FROM points WHERE id > ? ORDER BY id LIMIT {_POINTS}",  # noqa: S608
        (place,),
    ):
        place = rows[-1][0]
        for row in rows:
            for what in point_problems(row):
                yield Problem(f"points {row[0]}", what)


def block_problems(stored: Stored) -> list[str]:
    """What is wrong with a block or a flush row. Pure."""
    told = stored.header.told
    one = stored.header if told is None else as_told(told, sealed=stored.header.sealed)
    problems = [
        f"the checksum of part {n} is wrong"
        for n, (sum_, data) in stored.parts.items()
        if not (is_whole(data, sum_) if n >= PARTS else crc32(data) == sum_)
    ]
    if problems:
        return problems
    try:
        seen = view(stored)
        everything = seen.entries(range(seen.count))
        rows = one.live()
        times = [seen.times[row] for row in rows]
        counts = count_levels([seen.levels[row] for row in rows])
        facts = [
            ("rows", one.rows, seen.count),
            ("first cursor", one.id, seen.cursors[0]),
            ("last cursor", one.last, seen.cursors[-1]),
            ("counts by level", one.counts, counts),
            ("oldest in time", True, one.oldest <= min(times)),
            ("newest in time", True, one.newest >= max(times)),
            ("checksum", True, stored.header.sound),
        ]
        # Of other tables another filter is right.
        if one.sealed and len(stored.parts) > 1 and not is_foreign(stored.parts[PARTS][0]):
            bits = [stored.parts[number][1] for number in range(PARTS, PARTS + 4)]
            facts.append(("filter", True, bits == stripes(block_filter(everything))))
    except DAMAGE as error:
        return [f"it cannot be read: {error}"]
    return [
        f"the {name} of its header is {told}, and it holds {found}"
        for name, told, found in facts
        if told != found
    ]


def window_problems(row: Sequence[Any], samples: int, found: dict[int, tuple[int, bytes]]) -> list[str]:
    """What is wrong with a sealed window of samples. Pure."""
    try:
        window = Opened(row, SeriesCache())
        window.give(found)
        for series in window.view.everything():
            if len(window.view.column(series)) != len(window.view.rows_of(series)):
                return [f"series {series} has another number of values than rows"]
        count = sum(len(window.view.series_of(one)) for one in window.live)
    except DAMAGE as error:
        return [f"it cannot be read: {error}"]
    return [] if count == samples else [f"the samples of its header are {samples}, and it holds {count}"]


def point_problems(row: Sequence[Any]) -> list[str]:
    """What is wrong with an instant. Pure."""
    _, samples, series, checksum, data = row
    if crc32(series + data) != checksum:
        return ["the checksum is wrong"]
    try:
        lengths = {samples, len(unpack_series(series)), len(unpack_values(data))}
    except (StorageError, ValueError) as error:
        return [f"it cannot be read: {error}"]
    return [] if len(lengths) == 1 else ["it has another number of values than series"]


def _reader(table: str, place: int) -> Any:
    async def read(connection: aiosqlite.Connection) -> Stored | None:
        sql = f"SELECT {COLUMNS} FROM {table} WHERE id > ? ORDER BY id LIMIT 1"  # noqa: S608
        rows = list(await connection.execute_fetchall(sql, (place,)))
        if not rows:
            return None
        one = header(rows[0], sealed=table == "blocks")
        if not is_sealed_by(one, rows[0][-1]):
            one = one._replace(told=tuple(rows[0]))
        parts = "SELECT id % 8, checksum, data FROM parts WHERE id BETWEEN :id * 8 AND :id * 8 + 7"
        flush = "SELECT 0, checksum, data FROM head WHERE id = :id"
        found = await connection.execute_fetchall(parts if one.sealed else flush, {"id": one.id})
        return Stored(one, {row[0]: (row[1], row[2]) for row in found})

    return read


def _window_reader(place: int) -> Any:
    async def read(connection: aiosqlite.Connection) -> Any:
        sql = "SELECT id, last, gone, checksum, data, samples FROM windows WHERE id > ? ORDER BY id LIMIT 1"
        rows = list(await connection.execute_fetchall(sql, (place,)))
        if not rows:
            return None
        *row, samples = rows[0]
        ids = await connection.execute_fetchall(
            "SELECT id FROM chunks WHERE id BETWEEN :id * 1048576 AND :id * 1048576 + 1048575", {"id": row[0]}
        )
        return row[0], row, samples, await chunks(connection, [one[0] for one in ids])

    return read
