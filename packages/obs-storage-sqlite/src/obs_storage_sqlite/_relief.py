"""Room on a full disk: the oldest records make way, a little at a time, and it is said."""

import sqlite3
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

from ._schema import SPAN
from ._writers import retire

# So many bytes of rows make way in one step; a sealed block or window goes as a whole.
_STEP: Final = 64_000
_MINUTE: Final = 60.0


class Gone(NamedTuple):
    """What made way."""

    entries: int = 0
    samples: int = 0


class Relief:
    """Counts what made way; says so once a minute."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._said = -_MINUTE
        self.gone = Gone()

    def note(self, gone: Gone) -> None:
        self.gone = Gone(self.gone.entries + gone.entries, self.gone.samples + gone.samples)
        if time.monotonic() - self._said >= _MINUTE:
            self._said = time.monotonic()
            sys.stderr.write(
                f"obs: the disk of {self._path} is full: {gone.entries} log entries and {gone.samples} samples,"
                " the oldest, made way: more may follow\n"
            )


def drop_oldest(connection: sqlite3.Connection) -> Gone:
    """Delete the oldest of the logs or of the samples, whichever are older; inside a transaction."""
    logs, samples = _oldest_log(connection), _oldest_sample(connection)
    if logs is None and samples is None:
        return Gone()
    if samples is None or (logs is not None and logs <= samples):
        return Gone(entries=_drop_logs(connection))
    return Gone(samples=_drop_samples(connection))


def _oldest_log(connection: sqlite3.Connection) -> float | None:
    row = connection.execute(
        "SELECT newest FROM (SELECT id, newest FROM blocks UNION ALL SELECT id, newest FROM head)"
        " ORDER BY id LIMIT 1"
    ).fetchone()
    return float(row[0]) if row else None


def _oldest_sample(connection: sqlite3.Connection) -> float | None:
    row = connection.execute(
        "SELECT newest FROM (SELECT id, newest FROM windows UNION ALL SELECT id, timestamp FROM points)"
        " ORDER BY id LIMIT 1"
    ).fetchone()
    return float(row[0]) if row else None


def _drop_logs(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT id, rows FROM blocks ORDER BY id LIMIT 1").fetchone()
    if row is None:
        return _drop_rows(connection, "head", "rows")
    _drop_range(connection, "parts", 8 * row[0], 8)
    connection.execute("DELETE FROM blocks WHERE id = ?", (row[0],))
    return int(row[1])


def _drop_samples(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT id, samples FROM windows ORDER BY id LIMIT 1").fetchone()
    if row is None:
        return _drop_rows(connection, "points", "samples")
    _drop_range(connection, "chunks", SPAN * row[0], SPAN)
    connection.execute("DELETE FROM windows WHERE id = ?", (row[0],))
    return int(row[1])


def _drop_range(connection: sqlite3.Connection, table: str, first: int, count: int) -> None:
    connection.execute(f"DELETE FROM {table} WHERE id >= ? AND id < ?", (first, first + count))  # noqa: S608


def _drop_rows(connection: sqlite3.Connection, table: str, column: str) -> int:
    """The oldest rows up to a step's bytes, and at least one."""
    sql = f"SELECT id, size, {column} FROM {table} ORDER BY id LIMIT 64"  # noqa: S608
    last = size = count = 0
    for id_, bytes_, records in connection.execute(sql).fetchall():
        if size and size + bytes_ > _STEP:
            break
        last, size, count = id_, size + bytes_, count + records
    if table == "head":
        retire(connection, 0, last)
    connection.execute(f"DELETE FROM {table} WHERE id <= ?", (last,))  # noqa: S608
    return count
