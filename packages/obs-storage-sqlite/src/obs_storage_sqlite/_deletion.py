"""Deleting log entries: whole blocks where that may be, else bits in their headers; in short transactions."""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Any, Final, NamedTuple

from obs_core import LEVELS

from ._database import Database
from ._flushes import FlushView, count_levels, time_bounds
from ._gate import pause
from ._headers import COLUMNS, LOWEST_ID, MARKED, Header, Stored, bitmap, column_of, header, values
from ._looking import DAMAGE, Damage, view
from ._mending import looked_into
from ._views import BlockView
from ._writers import retire

TABLES: Final = ("blocks", "head")
# So many headers in one transaction, as far as they go in some milliseconds of the write lock.
_STEP: Final = {"blocks": 8, "head": 64}
_SHARE: Final = 0.008


class Selection(NamedTuple):
    """Entries older than `before`, with cursors up to `upto`, of this very level."""

    before: float | None = None
    upto: int = 1 << 62
    level: str | None = None

    def touches(self, one: Header) -> bool:
        """Whether some entries of a block may be selected."""
        in_time = self.before is None or one.oldest < self.before
        return in_time and one.id <= self.upto and one.count_of(self.level) > 0

    def covers(self, one: Header) -> bool:
        """Whether all entries of a block are selected."""
        in_time = self.before is None or one.newest < self.before
        return in_time and one.last <= self.upto and one.entries == one.count_of(self.level)

    def rows(self, one: Header, seen: BlockView | FlushView) -> list[int]:
        """The selected rows of a block, of those that are not gone."""
        level = None if self.level is None else LEVELS.index(self.level)
        before, times, cursors, levels = self.before, seen.times, seen.cursors, seen.levels
        return [
            row
            for row in one.live()
            if (before is None or times[row] < before)
            and cursors[row] <= self.upto
            and level in (None, levels[row])
        ]


def delete(database: Database, selection: Selection, damage: Damage) -> int:
    """Delete what is selected; how many entries went. Headers that are found damaged are written anew."""
    deleted = 0
    for table in TABLES:
        after: int | None = LOWEST_ID
        while after is not None:
            # Most passes find nothing, and a pass that finds nothing must not even take the lock.
            if not database.read(_finder(table, selection, after)):
                break
            count, after = database.transaction(_stepper(table, selection, after, damage))
            deleted += count
            pause()
    return deleted


def newest_kept(database: Database, count: int, level: str | None) -> int:
    """The cursor up to which all entries of a level go so that the `count` last ones stay; 0 where none goes."""
    left = count
    for table in reversed(TABLES):
        sql = f"SELECT {COLUMNS} FROM {table} WHERE {column_of(level)} > 0 ORDER BY id DESC"  # noqa: S608
        for row in database.select(sql):
            one = header(row, sealed=table == "blocks")
            if one.count_of(level) > left:
                return database.read(partial(_boundary, one=one, left=left, level=level))
            left -= one.count_of(level)
    return 0


def oldest_of(database: Database, excess: int, level: str | None) -> int:
    """The cursor up to which the oldest blocks hold `excess` bytes of a level; 0 where nothing is held."""
    upto = 0
    for table in TABLES:
        sql = f"SELECT {COLUMNS} FROM {table} WHERE {column_of(level)} > 0 ORDER BY id"  # noqa: S608
        for row in database.select(sql):
            one = header(row, sealed=table == "blocks")
            if not one.sound:
                continue
            excess -= one.size if level is None else one.size_of(level)
            upto = one.last
            if excess <= 0:
                return upto
    return upto


def read_stored(connection: sqlite3.Connection, one: Header) -> Stored:
    """The data of a block, on the writing connection."""
    if one.sealed:
        sql = "SELECT id % 8, checksum, data FROM parts WHERE id BETWEEN :id * 8 AND :id * 8 + "
        # The filter is not looked at, but it tells how large a block is whose header does not.
        sql += "3" if one.sound else "7"
    else:
        sql = "SELECT 0, checksum, data FROM head WHERE id = :id"
    rows = connection.execute(sql, {"id": one.id}).fetchall()
    return Stored(one, {part: (checksum, data) for part, checksum, data in rows})


def remove(connection: sqlite3.Connection, ones: Sequence[Header]) -> None:
    """Remove whole blocks, or flush rows that stand one behind another."""
    if not ones[0].sealed:
        retire(connection, ones[0].id, ones[-1].id)
    for one in ones:
        if one.sealed:
            connection.execute("DELETE FROM parts WHERE id BETWEEN :id * 8 AND :id * 8 + 7", {"id": one.id})
        connection.execute(f"DELETE FROM {'blocks' if one.sealed else 'head'} WHERE id = ?", (one.id,))  # noqa: S608


def _finder(table: str, selection: Selection, after: int) -> Callable[[sqlite3.Connection], list[Any]]:
    sql = (
        f"SELECT {COLUMNS} FROM {table} WHERE id > :after AND (NOT ({MARKED})"  # noqa: S608
        f" OR (id <= :upto AND (:before IS NULL OR oldest < :before) AND {column_of(selection.level)} > 0))"
        f" ORDER BY id LIMIT {_STEP[table]}"
    )
    bounds = {"after": after, "upto": selection.upto, "before": selection.before}
    return lambda connection: connection.execute(sql, bounds).fetchall()


def _stepper(
    table: str, selection: Selection, after: int, damage: Damage
) -> Callable[[sqlite3.Connection], tuple[int, int | None]]:
    find = _finder(table, selection, after)

    def step(connection: sqlite3.Connection) -> tuple[int, int | None]:
        rows = find(connection)
        found = [header(row, sealed=table == "blocks") for row in rows]
        deleted, end = 0, perf_counter() + _SHARE
        for one, row in zip(found, rows, strict=True):
            deleted += _delete_of(connection, _believed(connection, one, row, damage), selection)
            if perf_counter() > end:
                return deleted, one.id
        return deleted, found[-1].id if len(found) == _STEP[table] else None

    return step


def _delete_of(connection: sqlite3.Connection, one: Header, selection: Selection) -> int:
    # Nobody knows when a block was whose header and content are damaged: it goes with the one behind it.
    known = one if one.sound else _follower(connection, one, selection)
    if known is None or not selection.touches(known):
        return 0
    if selection.covers(known):
        remove(connection, [one])
        return one.entries
    if not one.sound:
        return 0
    try:
        seen = view(read_stored(connection, one))
        rows = selection.rows(one, seen)
        after = _without(one, seen, rows)
    except DAMAGE:
        # Nobody knows what is in it: it goes when all of it may go.
        return 0
    if rows and not after.entries:
        remove(connection, [one])
    elif rows:
        _write(connection, after)
    return len(rows)


def _believed(connection: sqlite3.Connection, one: Header, row: Sequence[Any], damage: Damage) -> Header:
    """The header; a damaged one as its block says, where it does, written anew."""
    if not one.sound:
        stored = looked_into(read_stored(connection, one), damage)
        if stored is None:
            return one
        one = stored.header
    if values(one) != row:
        _write(connection, one)
    return one


def _follower(connection: sqlite3.Connection, one: Header, selection: Selection) -> Header | None:
    """The next block whose header is sound, where all of it is asked for whatever the level."""
    if selection.level is not None:
        return None
    for table in TABLES:
        sql = f"SELECT {COLUMNS} FROM {table} WHERE id > ? AND {MARKED} ORDER BY id LIMIT 1"  # noqa: S608
        for row in connection.execute(sql, (one.id,)).fetchall():
            return header(row, sealed=table == "blocks")
    return None


def _write(connection: sqlite3.Connection, one: Header) -> None:
    columns = ", ".join(f"{column} = ?" for column in COLUMNS.split(", "))
    connection.execute(
        f"UPDATE {'blocks' if one.sealed else 'head'} SET {columns} WHERE id = ?",  # noqa: S608
        (*values(one), one.id),
    )


def _without(one: Header, seen: BlockView | FlushView, rows: Sequence[int]) -> Header:
    """The header when some of its rows are gone."""
    lost = count_levels([seen.levels[row] for row in rows])
    left = set(one.live()).difference(rows)
    times = [seen.times[row] for row in left]
    oldest, newest = time_bounds(times) if times else (one.oldest, one.newest)
    return one._replace(
        oldest=oldest,
        newest=newest,
        counts=count_levels([seen.levels[row] for row in left]),
        # Within a block and a level entries are taken as equally large.
        sizes=tuple(
            size - size * less // max(before, 1)
            for size, before, less in zip(one.sizes, one.counts, lost, strict=True)
        ),
        gone=bitmap(one.rows, rows, one.gone),
    )


def _boundary(connection: sqlite3.Connection, one: Header, left: int, level: str | None) -> int:
    """The last cursor to go; where nobody can look inside, the whole block stays."""
    try:
        seen = view(read_stored(connection, one))
        rows = Selection(level=level).rows(one, seen)
        return int(seen.cursors[rows[len(rows) - left - 1]])
    except DAMAGE:
        return one.id - 1
