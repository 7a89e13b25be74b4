"""From schema version 1 (a row for each entry and each sample) to 2: in place, in steps, at any point resumable.

The first transaction makes the new tables and the new version, so that older workers stop writing at once. Each
further one moves the oldest rows. A cursor stays what it was: the number of the row.
"""

import sqlite3
import struct
import sys
import time
from array import array
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final
from zlib import crc32

import msgspec

from obs_core import LogEntry

from ._points import INSERT_POINT, pack_series, pack_values, point
from ._schema import SINCE_2, VERSION
from ._sealed import build, insert_block

_LOGS: Final = 4000
_SAMPLES: Final = 20_000
_decode: Final = msgspec.msgpack.Decoder(LogEntry).decode
_DOUBLE: Final = struct.Struct("<d")


def begin_upgrade(connection: sqlite3.Connection) -> None:
    """Inside a transaction."""
    for statement in SINCE_2:
        connection.execute(statement)
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'logs'").fetchone()
    # The highest cursor that was ever given, so that none is given again.
    connection.execute("INSERT INTO writers VALUES ('', ?, ?, x'')", (row[0] if row else 0, time.time()))
    connection.execute(f"PRAGMA user_version={VERSION}")


def upgrade_step(connection: sqlite3.Connection) -> int:
    """Move some old rows, inside a transaction; about how many are left, 0 when all is done."""
    names = {
        row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    }
    if "logs" in names:
        return _move_logs(connection)
    if "samples" in names:
        return _move_samples(connection)
    return 0


def _move_logs(connection: sqlite3.Connection) -> int:
    rows = connection.execute(f"SELECT id, record, checksum FROM logs ORDER BY id LIMIT {_LOGS}").fetchall()  # noqa: S608
    if not rows:
        connection.execute("DROP TABLE logs")
        connection.execute("DROP TABLE batches")
        return 1
    good = [(id_, _decode(record)) for id_, record, checksum in rows if crc32(record) == checksum]
    if len(good) < len(rows):
        sys.stderr.write(f"obs: {len(rows) - len(good)} damaged entries are left out of the upgrade\n")
    if good:
        insert_block(connection, build([id_ for id_, _ in good], [entry for _, entry in good]))
    connection.execute("DELETE FROM logs WHERE id <= ?", (rows[-1][0],))
    (left,) = connection.execute("SELECT count(*) FROM logs").fetchone()
    return int(left) + 1


def _move_samples(connection: sqlite3.Connection) -> int:
    rows = connection.execute(
        f"SELECT id, series, timestamp, value FROM samples ORDER BY id LIMIT {_SAMPLES}"  # noqa: S608
    ).fetchall()
    if not rows:
        connection.execute("DROP TABLE samples")
        return 1
    for timestamp, group in groupby(rows, lambda row: row[2]):
        _store_instants(connection, timestamp, list(group))
    connection.execute("DELETE FROM samples WHERE id <= ?", (rows[-1][0],))
    (left,) = connection.execute("SELECT count(*) FROM samples").fetchone()
    return int(left) + 1


def _store_instants(connection: sqlite3.Connection, timestamp: float, rows: Sequence[Any]) -> None:
    """One row, or more where a series was sampled twice at one time."""
    while rows:
        seen: set[int] = set()
        taken = 0
        for row in rows:
            if row[1] in seen:
                break
            seen.add(row[1])
            taken += 1
        some, rows = rows[:taken], rows[taken:]
        values = pack_values(array("d", [_DOUBLE.unpack(row[3])[0] for row in some]))
        series = pack_series([row[1] for row in some])
        connection.execute(INSERT_POINT, point(some[0][0], timestamp, len(some), series, values))
