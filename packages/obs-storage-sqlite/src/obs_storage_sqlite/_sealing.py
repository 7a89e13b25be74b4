"""Merging flush rows into sealed blocks, and rewriting blocks of which most is gone.

The work is done outside the lock; the transaction that replaces the old rows first looks whether they are still as
they were read, so that it does nothing where somebody else was faster.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from obs_core import LogEntry

from ._database import Database
from ._deletion import read_stored, remove
from ._flushes import MAX_ENTRIES, MAX_RAW
from ._headers import COLUMNS, POSSIBLE, SIZE_LEFT, Header, Stored, header
from ._looking import DAMAGE
from ._mending import opened
from ._sealed import Sealed, build, insert_block, insert_header

# Tiny flushes are merged when there are so many, though they make no full block yet.
_MAX_FLUSHES: Final = 512


class Plan(NamedTuple):
    """What is to be made one block, as it was read."""

    table: str
    stored: list[Stored]


class Merged(NamedTuple):
    """What takes the place of some blocks; none where the first of them is damaged."""

    table: str
    old: list[Header]
    block: Sealed | None
    problem: str = ""


def plan_seal(database: Database) -> Plan | None:
    """The oldest flush rows, where they are enough for a block."""
    chosen = choose(database.read(_oldest_flushes))
    return _read(database, "head", [one for one, _ in chosen]) if chosen else None


def plan_compact(database: Database) -> Plan | None:
    """A block of whose bytes more than half are gone, but for those that could not be rewritten."""
    left = len(database.unreadable) + 1
    sql = f"SELECT {COLUMNS} FROM blocks WHERE gone IS NOT NULL AND 2 * {SIZE_LEFT} < size LIMIT {left}"  # noqa: S608
    for row in database.select(sql):
        one = header(row, sealed=True)
        if one.id not in database.unreadable:
            return _read(database, "blocks", [one])
    return None


def merge(plan: Plan) -> Merged:
    """The block of what is planned, up to the first damaged one. Pure, and the work of some 50 ms."""
    merged: list[Header] = []
    cursors: list[int] = []
    entries: list[LogEntry] = []
    problem = ""
    for one in plan.stored:
        try:
            known, seen = opened(one)
            rows = known.live()
            found = seen.entries(rows)
        except DAMAGE as error:
            problem = str(error)
            break
        cursors += [seen.cursors[row] for row in rows]
        entries += found
        merged.append(one.header)
    if not merged:
        return Merged(plan.table, [plan.stored[0].header], None, problem)
    try:
        return Merged(plan.table, merged, build(cursors, entries))
    except DAMAGE as error:
        # One of them is at fault: the first half, down to the first alone.
        if len(plan.stored) == 1:
            return Merged(plan.table, merged, None, str(error))
        return merge(Plan(plan.table, plan.stored[: len(plan.stored) // 2]))


def replace(database: Database, merged: Merged) -> bool:
    """Put a block in the place of the old ones; whether there may be more to do."""
    block = merged.block
    if block is not None:
        return database.transaction(lambda connection: _replace(connection, merged.table, merged.old, block))
    if merged.table == "blocks":
        database.unreadable.add(merged.old[0].id)
        return True
    return database.transaction(lambda connection: _keep_damaged(connection, merged.old[0]))


def choose(found: Sequence[tuple[Header, int]]) -> Sequence[tuple[Header, int]]:
    """The flush rows, with their decoded sizes, that make the next block; none while there are too few. Pure."""
    rows = raw = 0
    for place, (one, size) in enumerate(found):
        if place and (rows + one.rows > MAX_ENTRIES or raw + size > MAX_RAW):
            return found[:place]
        rows += one.rows
        raw += size
    full = rows >= MAX_ENTRIES or raw >= MAX_RAW or len(found) >= _MAX_FLUSHES
    return found if full else ()


def _read(database: Database, table: str, headers: Sequence[Header]) -> Plan:
    return Plan(table, database.read(lambda connection: [read_stored(connection, one) for one in headers]))


def _oldest_flushes(connection: sqlite3.Connection) -> list[tuple[Header, int]]:
    sql = (
        f"SELECT {COLUMNS}, raw FROM head WHERE id BETWEEN {POSSIBLE.start} AND {POSSIBLE.stop}"  # noqa: S608
        f" ORDER BY id LIMIT {_MAX_FLUSHES}"
    )
    return [
        # No checksum is over the size, which tells only when a block is full.
        (header(row[:-1], sealed=False), row[-1] if row[-1] in range(MAX_RAW) else MAX_RAW)
        for row in connection.execute(sql).fetchall()
    ]


def _replace(connection: sqlite3.Connection, table: str, old: Sequence[Header], block: Sealed) -> bool:
    if not _unchanged(connection, table, old):
        return False
    remove(connection, old)
    insert_block(connection, block)
    return True


def _keep_damaged(connection: sqlite3.Connection, one: Header) -> bool:
    """A flush row that cannot be read makes way for the others, as it is, until retention takes it."""
    if not _unchanged(connection, "head", [one]):
        return False
    connection.execute("INSERT INTO parts SELECT id * 8, checksum, data FROM head WHERE id = ?", (one.id,))
    remove(connection, [one])
    insert_header(connection, one)
    return True


def _unchanged(connection: sqlite3.Connection, table: str, old: Sequence[Header]) -> bool:
    sql = f"SELECT {COLUMNS} FROM {table} WHERE id BETWEEN ? AND ? ORDER BY id"  # noqa: S608
    rows: list[Any] = connection.execute(sql, (old[0].id, old[-1].id)).fetchall()
    return [header(row, sealed=table == "blocks") for row in rows] == list(old)
