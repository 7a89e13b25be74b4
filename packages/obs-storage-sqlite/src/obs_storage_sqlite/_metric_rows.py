"""Samples in the file: storing, deleting and sealing rows of instants; on the writing connection."""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from zlib import crc32

from obs_core import StorageError

from ._database import Database
from ._flushes import time_bounds
from ._headers import stored_size
from ._looking import DAMAGE
from ._points import (
    INSERT_POINT,
    Instant,
    SeriesCache,
    SeriesKey,
    pack_series,
    pack_values,
    point,
    unpack_values,
)
from ._schema import SPAN
from ._series import learn
from ._windows import Row, WindowView, encode_window

# A window is sealed with so many rows, an hour at 15 s, or as soon as it holds so many samples.
_ROWS: Final = 240
_SAMPLES: Final = 500_000
# Small rows wait for more of their like: up to so many.
_FEW: Final = 20_000
_MAX_ROWS: Final = 4096


def store_instants(
    connection: sqlite3.Connection, rows: Sequence[Instant], ids: dict[SeriesKey, int]
) -> None:
    """Store rows; `ids` knows series, and learns those that it does not."""
    learn(connection, {key for row in rows for key in row.keys if key not in ids}, ids)
    id_ = next_row(connection)
    for row in rows:
        series = pack_series([ids[key] for key in row.keys])
        connection.execute(
            INSERT_POINT, point(id_, row.timestamp, len(row.keys), series, pack_values(row.values))
        )
        id_ += 1


def next_row(connection: sqlite3.Connection) -> int:
    """The id of the next row: after all that ever were."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'points'").fetchone()
    return int(row[0]) + 1 if row else 1


class Window(NamedTuple):
    """A sealed window, and the rows that it takes the place of, by their ids and checksums."""

    old: list[tuple[int, int]]
    rows: list[Row]
    directory: bytes
    chunks: list[bytes]


def plan_seal(database: Database) -> list[Any] | None:
    """The oldest rows, as they were read, where they are enough for a window."""
    oldest = f"SELECT id, samples FROM points ORDER BY id LIMIT {_MAX_ROWS}"  # noqa: S608
    found = database.select(oldest)
    count = choose([samples for _, samples in found])
    if not count:
        return None
    sql = "SELECT id, timestamp, series, checksum, data FROM points WHERE id <= ? ORDER BY id"
    return database.select(sql, (found[count - 1][0],))


def merge(found: Sequence[Any]) -> Window:
    """The window of some rows; what is damaged is left out. Pure, and the work of some 100 ms."""
    cache = SeriesCache()
    rows = [row for one in found if (row := _row(cache, *one))]
    directory, chunks = encode_window(rows) if rows else (b"", [])
    return Window([(id_, checksum) for id_, _, _, checksum, _ in found], rows, directory, chunks)


def _row(
    cache: SeriesCache, id_: int, timestamp: float, series: bytes, checksum: int, data: bytes
) -> Row | None:
    """An instant; None where it is damaged."""
    try:
        values = unpack_values(data)
        whole = crc32(series + data) == checksum and len(cache.ids(series)) == len(values)
    except DAMAGE:
        return None
    return Row(id_, timestamp, series, values) if whole else None


def replace(database: Database, window: Window) -> bool:
    """Put a window in the place of its rows; whether they were still there."""
    return database.transaction(lambda connection: _replace(connection, window))


def choose(samples: Sequence[int]) -> int:
    """How many of the oldest rows, given by their samples, make the next window; 0 while they are too few. Pure."""
    total = 0
    for place, count in enumerate(samples):
        total += count
        rows = place + 1
        if total >= _SAMPLES or (rows >= _ROWS and total >= _FEW) or rows >= _MAX_ROWS:
            return rows
    return 0


def read_window(connection: sqlite3.Connection, id_: int, checksum: int, directory: bytes) -> WindowView:
    """A window, whose chunks are read when they are needed. Raises `StorageError` where it is damaged."""
    if crc32(directory) != checksum:
        raise StorageError("the checksum of a window is wrong")

    def chunk(number: int) -> bytes:
        row = connection.execute(
            "SELECT checksum, data FROM chunks WHERE id = ?", (id_ * SPAN + number,)
        ).fetchone()
        if row is None or crc32(row[1]) != row[0]:
            raise StorageError("the checksum of a chunk is wrong")
        return bytes(row[1])

    return WindowView(id_, directory, chunk, SeriesCache())


def _replace(connection: sqlite3.Connection, window: Window) -> bool:
    old, rows, directory, chunks = window
    last = old[-1][0]
    if (
        connection.execute("SELECT id, checksum FROM points WHERE id <= ? ORDER BY id", (last,)).fetchall()
        != old
    ):
        return False
    connection.execute("DELETE FROM points WHERE id <= ?", (last,))
    if not rows:
        return True
    oldest, newest = time_bounds([row.timestamp for row in rows])
    size = stored_size(directory) + sum(map(stored_size, chunks)) + 60
    connection.execute(
        "INSERT INTO windows VALUES (?, ?, ?, ?, ?, ?, NULL, ?, ?)",
        (
            *(rows[0].id, rows[-1].id, oldest, newest, sum(len(row.values) for row in rows)),
            *(size, crc32(directory), directory),
        ),
    )
    connection.executemany(
        "INSERT INTO chunks VALUES (?, ?, ?)",
        [(rows[0].id * SPAN + number, crc32(data), data) for number, data in enumerate(chunks)],
    )
    return True
