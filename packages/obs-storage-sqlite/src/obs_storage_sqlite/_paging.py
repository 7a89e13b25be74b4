"""Pages of reading: headers first, then filters, then the data of what may hold an answer.

A page is one short read transaction on a connection of its own; nothing is held in the file between two pages.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import aiosqlite

from obs_core import CursorExpiredError, LogQuery
from obs_core.cursors import parse_cursor

from ._blocks import PARTS, folded
from ._filters import (
    GRAM,
    Probe,
    by_stripe,
    holds,
    is_foreign,
    is_whole,
    text_probes,
    value_key,
    value_probes,
)
from ._headers import COLUMNS, LOWEST, POSSIBLE, Header, Stored, conditions, header, may_answer
from ._looking import Damage
from ._mending import looked_into

_TARGET: Final = 4000
_MAX_BYTES: Final = 4_000_000
_MAX_BLOCKS: Final = 16
_MAX_HEADERS: Final = 1024
_VARIABLES: Final = 500


class Page(NamedTuple):
    """Blocks to look into, in the order of the query; the place behind which, and up to which, they lie."""

    blocks: list[Stored]
    start: int | None
    place: int | None


class Pager:
    """Reads page after page; small ones first, since often the first answers suffice."""

    def __init__(self, query: LogQuery, damage: Damage, *, use_filters: bool = True) -> None:
        self._query = query
        self._damage = damage
        self._place: int | None = None
        # Of flush rows and of blocks the last header that was dealt with, damaged or not.
        self._seen: dict[bool, int | None] = {}
        self.generation = ""
        self._probes = by_stripe(probes(query) if use_filters else [])
        self._folds = not folded(query.text).isascii()
        self._headers, self._blocks = 16, 1
        self.finished = False

    async def page(self, connection: aiosqlite.Connection) -> Page:
        """The next page; sets `finished` with the last one."""
        await self._look(connection)
        start = self._place
        headers = await self._next_headers(connection)
        complete = len(headers) < self._headers
        may = [one for one in headers if may_answer(one[0], self._query, start)]
        chosen, rest = _cut(await self._sift(connection, may), self._blocks, self._query)
        self._pass(chosen if rest else [one for one, _ in headers])
        blocks = await self._readable(await _with_data(connection, chosen), start)
        self.finished = complete and not rest
        # Where some are left over, there were enough.
        self._headers = self._headers if rest else min(4 * self._headers, _MAX_HEADERS)
        self._blocks = min(2 * self._blocks, _MAX_BLOCKS)
        return Page(blocks, start, self._place)

    def _pass(self, headers: Sequence[Header]) -> None:
        """These are dealt with; what lies between them, too. A damaged one does not say where it ends."""
        for sealed in (False, True):
            ids = [one.id for one in headers if one.sealed == sealed]
            self._seen[sealed] = self._further(self._seen.get(sealed), ids)
        self._place = self._further(self._place, [_end(one, self._query) for one in headers if one.sound])

    def _further(self, place: int | None, others: list[int]) -> int | None:
        known = others if place is None else [place, *others]
        return (min if self._query.order == "desc" else max)(known, default=None)

    async def _readable(self, blocks: list[Stored], start: int | None) -> list[Stored]:
        """The blocks, those with damaged headers as their content says, where it does."""
        if all(one.header.sound for one in blocks):
            return blocks
        seen = [await asyncio.to_thread(looked_into, one, self._damage) for one in blocks]
        found = [one for one in seen if one is not None and may_answer(one.header, self._query, start)]
        self._pass([one.header for one in found])
        return found

    async def _look(self, connection: aiosqlite.Connection) -> None:
        """A cursor belongs to a file, and each page may come from another one than the writer has open."""
        ((generation,),) = await connection.execute_fetchall("SELECT id FROM generation")
        if not self.generation and self._query.after:
            self._place = parse_cursor(self._query.after, generation)
        if self.generation not in ("", generation):
            raise CursorExpiredError()
        self.generation = generation

    async def _next_headers(self, connection: aiosqlite.Connection) -> list[tuple[Header, Any]]:
        """Headers with the stripe that most probes fall into. Sealed blocks come before the flush rows."""
        found: list[tuple[Header, Any]] = []
        tables = ("head", "blocks") if self._query.order == "desc" else ("blocks", "head")
        for table in tables:
            left = self._headers - len(found)
            if left:
                sql, bounds = self._sql(table)
                rows = await connection.execute_fetchall(sql, [*bounds, left])
                found += [(header(row[:-2], sealed=table == "blocks"), row[-2:]) for row in rows]
        return found

    def _sql(self, table: str) -> tuple[str, list[Any]]:
        where, bounds = conditions(self._query, self._place, self._seen.get(table == "blocks"))
        way = "DESC" if self._query.order == "desc" else "ASC"
        stripe = next(iter(self._probes), None)
        if table == "head" or stripe is None:
            sql = f"SELECT {COLUMNS}, NULL, NULL FROM {table} WHERE {where} ORDER BY id {way} LIMIT ?"  # noqa: S608
            return sql, bounds
        chosen = f"SELECT {COLUMNS} FROM blocks WHERE {where} ORDER BY id {way} LIMIT ?"  # noqa: S608
        return (
            f"SELECT b.*, p.checksum, p.data FROM ({chosen}) b LEFT JOIN parts p"  # noqa: S608
            f" ON p.id = b.id * 8 + {PARTS + stripe} ORDER BY b.id {way}"
        ), bounds

    async def _sift(
        self, connection: aiosqlite.Connection, headers: list[tuple[Header, Any]]
    ) -> list[Header]:
        """Leave out the blocks whose filters say no."""
        stripes = list(self._probes.items())
        if not stripes:
            return [one for one, _ in headers]
        passed = [one for one, row in headers if self._may_hold(row, stripes[0][1])]
        for stripe, places in stripes[1:]:
            ids = _part_ids(passed, [PARTS + stripe])
            rows = {row[0] // 8: row[1:] for row in await _parts(connection, ids)}
            passed = [one for one in passed if self._may_hold(rows.get(one.id), places)]
        return passed

    def _may_hold(self, row: Any, places: Sequence[int]) -> bool:
        """Whether a stripe, given by its checksum and bytes, lets a block through; one that is damaged does."""
        if row is None or row[1] is None or not is_whole(row[1], row[0]):
            return True
        return (self._folds and is_foreign(row[0])) or holds(row[1], places)


def probes(query: LogQuery) -> list[Probe]:
    """What the filter of a block must hold, for it to hold an answer."""
    found: set[Probe] = set()
    text = folded(query.text)
    if len(text) >= GRAM:
        found.update(text_probes(text))
    if query.trace_id:
        found.update(value_probes(value_key("", query.trace_id)))
    for name, value in query.attributes.items():
        found.update(value_probes(value_key(name, value)))
    return sorted(found)


def _cut(headers: Sequence[Header], blocks: int, query: LogQuery) -> tuple[list[Header], bool]:
    """As many as are worth `blocks` full ones, or surely answer in full; whether some are left."""
    chosen: list[Header] = []
    rows = size = found = 0
    for one in headers:
        # Where only the level is asked for, headers tell how many answers there are.
        enough = (
            rows + one.rows > blocks * _TARGET
            if query.limit is None or _narrow(query)
            else found >= query.limit
        )
        if chosen and (
            not one.sound or enough or rows + one.rows > _MAX_BLOCKS * _TARGET or size + one.size > _MAX_BYTES
        ):
            return chosen, True
        chosen.append(one)
        rows += one.rows
        size += one.size
        found += sum(one.counts[LOWEST[query.severity] :])
    return chosen, False


def together(query: LogQuery, blocks: list[Stored]) -> list[list[Stored]]:
    """Blocks to look into at once: all where few entries answer, else one by one, since entries take memory."""
    return [blocks] if _narrow(query) or query.level else [[one] for one in blocks]


def _narrow(query: LogQuery) -> bool:
    """Whether more is asked for than a header counts; of time only the ends of a stretch are uncertain."""
    return bool(query.text or query.logger or query.trace_id or query.attributes)


def _end(one: Header, query: LogQuery) -> int:
    return one.id if query.order == "desc" else one.last


async def _with_data(connection: aiosqlite.Connection, headers: Sequence[Header]) -> list[Stored]:
    stored = {one.id: Stored(one, {}) for one in headers}
    for id_, checksum, data in await _parts(connection, _part_ids(headers, range(PARTS))):
        stored[id_ // 8].parts[id_ % 8] = (checksum, data)
    flushes = [one.id for one in headers if not one.sealed]
    for id_, checksum, data in await _parts(connection, flushes, "head"):
        stored[id_].parts[0] = (checksum, data)
    return list(stored.values())


def _part_ids(headers: Sequence[Header], parts: Sequence[int]) -> list[int]:
    return [one.id * 8 + part for one in headers if one.sealed and one.id in POSSIBLE for part in parts]


async def _parts(connection: aiosqlite.Connection, ids: Sequence[int], table: str = "parts") -> list[Any]:
    rows: list[Any] = []
    for start in range(0, len(ids), _VARIABLES):
        some = ids[start : start + _VARIABLES]
        marks = ",".join("?" * len(some))
        sql = f"SELECT id, checksum, data FROM {table} WHERE id IN ({marks})"  # noqa: S608
        rows += await connection.execute_fetchall(sql, some)
    return rows
