"""Samples in the file: storing, deleting and sealing rows of instants; on the writing connection."""

import sqlite3
from collections.abc import Sequence
from math import inf, isnan
from typing import Final, NamedTuple
from zlib import crc32

from obs_core import StorageError

from ._database import Database
from ._headers import bitmap, live, stored_size
from ._points import Instant, SeriesCache, SeriesKey, pack_series, pack_values, unpack_values
from ._windows import Row, WindowView, encode_window

# A window is sealed with so many rows, an hour at 15 s, or as soon as it holds so many samples.
_ROWS: Final = 240
_SAMPLES: Final = 500_000
# Small rows wait for more of their like: up to so many.
_FEW: Final = 20_000
_MAX_ROWS: Final = 4096
# The id of a chunk is that of its window times this, and its number.
SPAN: Final = 1 << 20
_STEP: Final = 500
_WINDOWS: Final = 4
_INSERT_POINT: Final = (
    "INSERT INTO points (id, timestamp, samples, size, series, checksum, data) VALUES (?, ?, ?, ?, ?, ?, ?)"
)


class Selection(NamedTuple):
    """Rows older than `before`, with ids up to `upto`."""

    before: float = inf
    upto: int = 1 << 40


def store_instants(connection: sqlite3.Connection, rows: Sequence[Instant], ids: dict[SeriesKey, int]) -> None:
    """Store rows; `ids` knows series, and learns those that it does not."""
    for key in {key for row in rows for key in row.keys if key not in ids}:
        connection.execute("INSERT OR IGNORE INTO series (name, labels) VALUES (?, ?)", key)
        found = connection.execute("SELECT id FROM series WHERE name = ? AND labels = ?", key).fetchone()
        ids[key] = found[0]
    id_ = next_row(connection)
    for row in rows:
        series = pack_series([ids[key] for key in row.keys])
        connection.execute(_INSERT_POINT, point(id_, row.timestamp, len(row.keys), series, pack_values(row.values)))
        id_ += 1


def point(
    id_: int, timestamp: float, samples: int, series: bytes, data: bytes
) -> tuple[int, float, int, int, bytes, int, bytes]:
    """The columns of a row of `points`."""
    size = stored_size(data) + len(series) + 40
    return id_, timestamp, samples, size, series, crc32(series + data), data


def next_row(connection: sqlite3.Connection) -> int:
    """The id of the next row: after all that are there, sealed or not."""
    (highest,) = connection.execute(
        "SELECT max((SELECT coalesce(max(id), 0) FROM points), (SELECT coalesce(max(last), 0) FROM windows))"
    ).fetchone()
    return int(highest) + 1


def delete(database: Database, selection: Selection) -> int:
    """Delete rows, in short transactions; how many samples went."""
    deleted = 0
    while database.read(lambda connection: _has_points(connection, selection)):
        deleted += database.transaction(lambda connection: _delete_points(connection, selection))
    after = 0
    while found := database.read(lambda connection, after=after: _windows(connection, selection, after)):  # type: ignore[misc]
        deleted += sum(
            database.transaction(lambda connection, id_=id_: _delete_window(connection, selection, id_))  # type: ignore[misc]
            for id_ in found
        )
        after = found[-1]
    return deleted


def newest_kept(database: Database, count: int) -> int:
    """The row up to which all go so that at least the `count` last samples stay; 0 where none goes."""
    sql = """SELECT last, samples FROM (
        SELECT id AS last, samples FROM points UNION ALL SELECT last, samples FROM windows) ORDER BY last DESC"""
    for last, samples in database.read(lambda connection: connection.execute(sql).fetchall()):
        if count <= 0:
            return int(last)
        if samples > count and database.read(lambda connection, last=last: _is_window(connection, last)):  # type: ignore[misc]
            upto = database.read(lambda connection, last=last: _inside(connection, last, count))  # type: ignore[misc]
            if upto:
                return upto
        count -= samples
    return 0


def oldest_of(database: Database, excess: int) -> int:
    """The row up to which the oldest hold `excess` bytes; 0 where nothing is held."""
    sql = """SELECT last, size FROM (
        SELECT id AS last, size FROM points UNION ALL SELECT last, size FROM windows) ORDER BY last"""
    upto = 0
    for last, size in database.read(lambda connection: connection.execute(sql).fetchall()):
        upto = last
        excess -= size
        if excess <= 0:
            break
    return upto


def seal(database: Database) -> bool:
    """Turn the oldest rows into one window where they are enough; whether it did something."""
    found = database.read(
        lambda connection: connection.execute(
            f"SELECT id, samples FROM points ORDER BY id LIMIT {_MAX_ROWS}"  # noqa: S608
        ).fetchall()
    )
    count = choose([samples for _, samples in found])
    if not count:
        return False
    ids = [id_ for id_, _ in found[:count]]
    sql = "SELECT id, timestamp, series, checksum, data FROM points WHERE id <= ? ORDER BY id"
    rows = database.read(lambda connection: connection.execute(sql, (ids[-1],)).fetchall())
    good = [
        Row(id_, timestamp, series, unpack_values(data))
        for id_, timestamp, series, checksum, data in rows
        if crc32(series + data) == checksum
    ]
    window = encode_window(good) if good else None
    return database.transaction(lambda connection: _replace(connection, ids, good, window))


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


def _replace(
    connection: sqlite3.Connection,
    ids: Sequence[int],
    rows: Sequence[Row],
    window: tuple[bytes, list[bytes]] | None,
) -> bool:
    found = connection.execute("SELECT id FROM points WHERE id <= ? ORDER BY id", (ids[-1],)).fetchall()
    if [row[0] for row in found] != list(ids):
        return False
    connection.execute("DELETE FROM points WHERE id <= ?", (ids[-1],))
    if window is None:
        return True
    directory, chunks = window
    times = [row.timestamp for row in rows]
    oldest, newest = (-inf, inf) if isnan(sum(times)) else (min(times), max(times))
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


def _has_points(connection: sqlite3.Connection, selection: Selection) -> bool:
    sql = "SELECT 1 FROM points WHERE timestamp < ? AND id <= ? LIMIT 1"
    return connection.execute(sql, (selection.before, selection.upto)).fetchone() is not None


def _delete_points(connection: sqlite3.Connection, selection: Selection) -> int:
    chosen = f"SELECT id, samples FROM points WHERE timestamp < ? AND id <= ? ORDER BY id LIMIT {_STEP}"  # noqa: S608
    rows = connection.execute(chosen, (selection.before, selection.upto)).fetchall()
    connection.executemany("DELETE FROM points WHERE id = ?", [(id_,) for id_, _ in rows])
    return sum(samples for _, samples in rows)


def _windows(connection: sqlite3.Connection, selection: Selection, after: int) -> list[int]:
    sql = f"SELECT id FROM windows WHERE id > ? AND id <= ? AND oldest < ? ORDER BY id LIMIT {_WINDOWS}"  # noqa: S608
    return [row[0] for row in connection.execute(sql, (after, selection.upto, selection.before)).fetchall()]


def _delete_window(connection: sqlite3.Connection, selection: Selection, id_: int) -> int:
    row = connection.execute(
        "SELECT last, newest, samples, gone, checksum, data FROM windows WHERE id = ?", (id_,)
    ).fetchone()
    if row is None:
        return 0
    last, newest, samples, gone, checksum, directory = row
    if newest < selection.before and last <= selection.upto:
        _remove_window(connection, id_)
        return int(samples)
    try:
        window = read_window(connection, id_, checksum, directory)
    except StorageError:
        return 0
    rows = live(window.count, gone)
    lost = [row for row in rows if window.times[row] < selection.before and window.ids[row] <= selection.upto]
    if not lost:
        return 0
    count = sum(len(window.series_of(row)) for row in lost)
    left = [window.times[row] for row in set(rows).difference(lost)]
    if not left:
        _remove_window(connection, id_)
        return int(samples)
    connection.execute(
        "UPDATE windows SET gone = ?, samples = ?, oldest = ?, newest = ? WHERE id = ?",
        (bitmap(window.count, lost, gone), samples - count, min(left), max(left), id_),
    )
    return count


def _remove_window(connection: sqlite3.Connection, id_: int) -> None:
    connection.execute("DELETE FROM chunks WHERE id >= ? AND id < ?", (id_ * SPAN, (id_ + 1) * SPAN))
    connection.execute("DELETE FROM windows WHERE id = ?", (id_,))


def _is_window(connection: sqlite3.Connection, last: int) -> bool:
    return connection.execute("SELECT 1 FROM windows WHERE last = ?", (last,)).fetchone() is not None


def _inside(connection: sqlite3.Connection, last: int, count: int) -> int:
    """The row inside a window up to which all go so that at least `count` of its samples stay."""
    id_, gone, checksum, directory = connection.execute(
        "SELECT id, gone, checksum, data FROM windows WHERE last = ?", (last,)
    ).fetchone()
    window = read_window(connection, id_, checksum, directory)
    for row in reversed(live(window.count, gone)):
        if count <= 0:
            return window.ids[row]
        count -= len(window.series_of(row))
    return 0
