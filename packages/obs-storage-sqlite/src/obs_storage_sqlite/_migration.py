"""From older schema versions to today's, in place; from 1 (a row for each entry and sample) in steps, resumable.

The first transaction makes the new tables and the new version, so that older workers stop writing at once. Each
further one moves the oldest rows. A cursor stays what it was: the number of the row.
"""

import sqlite3
import struct
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from itertools import groupby, takewhile
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec

from obs_core import LogEntry
from obs_core.checks import check_entries

from ._flushes import MAX_RAW
from ._looking import DAMAGE
from ._points import INSERT_POINT, pack_series, pack_values, point
from ._schema import SINCE_1, SINCE_2, VERSION
from ._sealed import Sealed, build, insert_block

_LOGS: Final = 4000
_SAMPLES: Final = 500
_INSTANT: Final = 20_000
Step = Callable[[sqlite3.Connection], int]
_decode: Final = msgspec.msgpack.Decoder(LogEntry).decode
_DOUBLE: Final = struct.Struct("<d")


def begin_upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Inside a transaction."""
    for statement in SINCE_1 if version == 1 else SINCE_2:
        connection.execute(statement)
    if version == 1:
        row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'logs'").fetchone()
        # The highest cursor that was ever given, so that none is given again.
        connection.execute("INSERT INTO writers VALUES ('', ?, ?, x'')", (row[0] if row else 0, time.time()))
    connection.execute(f"PRAGMA user_version={VERSION}")


def plan_upgrade(connection: sqlite3.Connection) -> Step | None:
    """What moves some old rows, inside a transaction, and tells about how many are left; None when all is done.

    What takes long, sealing, is done here and not under the lock. Other processes may do the same meanwhile.
    """
    names = _tables(connection)
    if "logs" in names:
        return _plan_logs(connection)
    if "samples" in names:
        return _move_samples
    return None


def _plan_logs(connection: sqlite3.Connection) -> Step:
    upto = _end_of_block(connection)
    if upto is None:
        return _drop_logs
    rows = connection.execute(
        "SELECT id, record, checksum FROM logs WHERE id <= ? ORDER BY id", (upto,)
    ).fetchall()
    blocks = blocks_of([found for row in rows if (found := _entry(*row))])

    def move(connection: sqlite3.Connection) -> int:
        if _first(connection) != rows[0][0]:
            return 1  # somebody was faster
        for block in blocks:
            insert_block(connection, block)
        stored = sum(block.header.rows for block in blocks)
        if stored < len(rows):
            sys.stderr.write(f"obs: {len(rows) - stored} damaged entries are left out of the upgrade\n")
        connection.execute("DELETE FROM logs WHERE id <= ?", (upto,))
        return _left(connection, "logs", upto)

    return move


def _drop_logs(connection: sqlite3.Connection) -> int:
    if "logs" in _tables(connection) and _first(connection) is None:
        connection.execute("DROP TABLE logs")
        connection.execute("DROP TABLE batches")
    return 1


def _first(connection: sqlite3.Connection) -> int | None:
    """The oldest row that is still to be moved."""
    if "logs" not in _tables(connection):
        return None
    found: int | None = connection.execute("SELECT min(id) FROM logs").fetchone()[0]
    return found


def _tables(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return {row[0] for row in rows}


def _end_of_block(connection: sqlite3.Connection) -> int | None:
    """The last of the oldest rows that make one block, bounded in bytes as well; None where there are none."""
    rows = connection.execute(f"SELECT id, length(record) FROM logs ORDER BY id LIMIT {_LOGS}").fetchall()  # noqa: S608
    size = 0
    for place, (_, length) in enumerate(rows):
        size += length
        if place and size > MAX_RAW:
            return int(rows[place - 1][0])
    return int(rows[-1][0]) if rows else None


def _entry(id_: int, record: bytes, checksum: int) -> tuple[int, LogEntry] | None:
    """The entry of an old row; None where it is damaged, or was none in the first place."""
    try:
        if crc32(record) != checksum:
            return None
        entry = _decode(record)
        check_entries([entry])
    except DAMAGE:
        return None
    return id_, entry


def blocks_of(found: Sequence[tuple[int, LogEntry]]) -> list[Sealed]:
    """The blocks of some entries; one that cannot be sealed is left out. Pure."""
    if not found:
        return []
    try:
        return [build([id_ for id_, _ in found], [entry for _, entry in found])]
    except DAMAGE:
        middle = len(found) // 2
        return blocks_of(found[:middle]) + blocks_of(found[middle:]) if middle else []


def _left(connection: sqlite3.Connection, table: str, upto: int) -> int:
    """About how many rows are left, and at least 1: an empty table must still be dropped."""
    (last,) = connection.execute(f"SELECT max(id) FROM {table}").fetchone()  # noqa: S608
    return int(last or upto) - upto + 1


def _move_samples(connection: sqlite3.Connection) -> int:
    if "samples" not in _tables(connection):
        return 1
    rows = _oldest_samples(connection)
    if not rows:
        connection.execute("DROP TABLE samples")
        return 1
    good = [found for row in rows if (found := _sample(row))]
    if len(good) < len(rows):
        sys.stderr.write(f"obs: {len(rows) - len(good)} damaged samples are left out of the upgrade\n")
    for timestamp, group in groupby(good, lambda row: row.timestamp):
        _store_instants(connection, timestamp, list(group))
    connection.execute("DELETE FROM samples WHERE id <= ?", (rows[-1][0],))
    return _left(connection, "samples", rows[-1][0])


def _oldest_samples(connection: sqlite3.Connection) -> list[Any]:
    """Some rows; what was sampled at one time stays together."""
    sql = "SELECT id, series, timestamp, value FROM samples ORDER BY id LIMIT ?"
    rows = connection.execute(sql, (_SAMPLES,)).fetchall()
    if len(rows) < _SAMPLES:
        return rows
    if rows[0][2] != rows[-1][2]:
        return list(takewhile(lambda row: row[2] != rows[-1][2], rows))
    more = connection.execute(sql, (_INSTANT,)).fetchall()
    return list(takewhile(lambda row: row[2] == rows[0][2], more))


class _Sample(NamedTuple):
    id: int
    series: int
    timestamp: float
    value: float


def _sample(row: Sequence[Any]) -> _Sample | None:
    """A sample of an old row; None where it is damaged."""
    id_, series, timestamp, value = row
    try:
        return _Sample(id_, int(series), float(timestamp), *_DOUBLE.unpack(value))
    except (*DAMAGE, struct.error):
        return None


def _store_instants(connection: sqlite3.Connection, timestamp: float, rows: Sequence[_Sample]) -> None:
    """One row, or more where a series was sampled twice at one time."""
    while rows:
        seen: set[int] = set()
        taken = 0
        for row in rows:
            if row.series in seen:
                break
            seen.add(row.series)
            taken += 1
        some, rows = rows[:taken], rows[taken:]
        values = pack_values(array("d", [row.value for row in some]))
        series = pack_series([row.series for row in some])
        connection.execute(INSERT_POINT, point(some[0].id, timestamp, len(some), series, values))
