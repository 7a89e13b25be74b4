"""Merging flush rows into sealed blocks, and rewriting blocks of which most is gone.

The work is done outside the lock; the transaction that replaces the old rows first looks whether they are still as
they were read, so that it does nothing where somebody else was faster.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from obs_core import LogEntry, StorageError

from ._database import Database
from ._deletion import read_stored, remove
from ._flushes import MAX_ENTRIES, MAX_RAW
from ._headers import COLUMNS, Header, header
from ._looking import view
from ._schema import LEVEL_COLUMNS
from ._sealed import Sealed, build, insert_block, insert_header

# Tiny flushes are merged when there are so many, though they make no full block yet.
_MAX_FLUSHES: Final = 512
_LIVE: Final = "(" + "+".join(LEVEL_COLUMNS) + ")"


def seal(database: Database) -> bool:
    """Merge the oldest flush rows into one block where they are enough; whether it did something."""
    found = database.read(_oldest_flushes)
    chosen = choose(found)
    if not chosen:
        return False
    stored = [database.read(lambda connection, one=one: read_stored(connection, one)) for one, _ in chosen]  # type: ignore[misc]
    merged: list[Header] = []
    cursors: list[int] = []
    entries: list[LogEntry] = []
    for one in stored:
        try:
            seen = view(one)
        except StorageError:
            break
        rows = one.header.live()
        cursors += [seen.cursors[row] for row in rows]
        entries += seen.entries(rows)
        merged.append(one.header)
    if not merged:
        return database.transaction(lambda connection: _keep_damaged(connection, stored[0].header))
    block = build(cursors, entries)
    return database.transaction(lambda connection: _replace(connection, "head", merged, block))


def compact(database: Database) -> bool:
    """Rewrite one block of which more than half is gone; whether it did something."""
    sql = f"SELECT {COLUMNS} FROM blocks WHERE gone IS NOT NULL AND 2 * {_LIVE} < rows LIMIT 1"  # noqa: S608
    rows = database.read(lambda connection: connection.execute(sql).fetchall())
    if not rows:
        return False
    one = header(rows[0], sealed=True)
    stored = database.read(lambda connection: read_stored(connection, one))
    try:
        seen = view(stored)
        block = build([seen.cursors[row] for row in one.live()], seen.entries(one.live()))
    except StorageError:
        return False
    return database.transaction(lambda connection: _replace(connection, "blocks", [one], block))


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


def _oldest_flushes(connection: sqlite3.Connection) -> list[tuple[Header, int]]:
    sql = f"SELECT {COLUMNS}, raw FROM head ORDER BY id LIMIT {_MAX_FLUSHES}"  # noqa: S608
    return [(header(row[:-1], sealed=False), row[-1]) for row in connection.execute(sql).fetchall()]


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
