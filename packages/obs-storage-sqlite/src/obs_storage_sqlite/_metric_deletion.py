"""Deleting samples: whole windows where that may be, else bits of their rows; in short transactions."""

import sqlite3
from functools import partial
from typing import Final, NamedTuple

from ._database import Database
from ._flushes import time_bounds
from ._headers import bitmap, live
from ._looking import DAMAGE
from ._metric_rows import read_window
from ._schema import SPAN

_STEP: Final = 500
_WINDOWS: Final = 4
_CHOSEN: Final = "(:before IS NULL OR timestamp < :before) AND id <= :upto"


class Selection(NamedTuple):
    """Rows older than `before`, with ids up to `upto`."""

    before: float | None = None
    upto: int = 1 << 40

    def takes(self, timestamp: float, id_: int) -> bool:
        """Whether a row, or all up to a row, is selected."""
        return (self.before is None or timestamp < self.before) and id_ <= self.upto


def delete(database: Database, selection: Selection) -> int:
    """Delete rows, in short transactions; how many samples went."""
    deleted = 0
    while database.read(lambda connection: _has_points(connection, selection)):
        deleted += database.transaction(lambda connection: _delete_points(connection, selection))
    after = 0
    while found := database.read(partial(_windows, selection=selection, after=after)):
        deleted += sum(
            database.transaction(partial(_delete_window, selection=selection, id_=id_)) for id_ in found
        )
        after = found[-1]
    return deleted


def newest_kept(database: Database, count: int) -> int:
    """The row up to which all go so that at least the `count` last samples stay; 0 where none goes."""
    sql = """SELECT last, samples FROM (
        SELECT id AS last, samples FROM points UNION ALL SELECT last, samples FROM windows) ORDER BY last DESC"""
    for last, samples in database.select(sql):
        if count <= 0:
            return int(last)
        if samples > count and database.read(partial(_is_window, last=last)):
            upto = database.read(partial(_inside, last=last, count=count))
            if upto:
                return upto
        count -= samples
    return 0


def oldest_of(database: Database, excess: int) -> int:
    """The row up to which the oldest hold `excess` bytes; 0 where nothing is held."""
    sql = """SELECT last, size FROM (
        SELECT id AS last, size FROM points UNION ALL SELECT last, size FROM windows) ORDER BY last"""
    upto = 0
    for last, size in database.select(sql):
        upto = last
        excess -= size
        if excess <= 0:
            break
    return upto


def _has_points(connection: sqlite3.Connection, selection: Selection) -> bool:
    sql = f"SELECT 1 FROM points WHERE {_CHOSEN} LIMIT 1"  # noqa: S608
    return connection.execute(sql, selection._asdict()).fetchone() is not None


def _delete_points(connection: sqlite3.Connection, selection: Selection) -> int:
    chosen = f"SELECT id, samples FROM points WHERE {_CHOSEN} ORDER BY id LIMIT {_STEP}"  # noqa: S608
    rows = connection.execute(chosen, selection._asdict()).fetchall()
    connection.executemany("DELETE FROM points WHERE id = ?", [(id_,) for id_, _ in rows])
    return sum(samples for _, samples in rows)


def _windows(connection: sqlite3.Connection, selection: Selection, after: int) -> list[int]:
    chosen = "id > :after AND id <= :upto AND (:before IS NULL OR oldest < :before)"
    sql = f"SELECT id FROM windows WHERE {chosen} ORDER BY id LIMIT {_WINDOWS}"  # noqa: S608
    bounds = {**selection._asdict(), "after": after}
    return [row[0] for row in connection.execute(sql, bounds).fetchall()]


def _delete_window(connection: sqlite3.Connection, selection: Selection, id_: int) -> int:
    row = connection.execute(
        "SELECT last, newest, samples, gone, checksum, data FROM windows WHERE id = ?", (id_,)
    ).fetchone()
    if row is None:
        return 0
    last, newest, samples, gone, checksum, directory = row
    if selection.takes(newest, last):
        _remove_window(connection, id_)
        return int(samples)
    try:
        window = read_window(connection, id_, checksum, directory)
        rows = live(window.count, gone)
        lost = [row for row in rows if selection.takes(window.times[row], window.ids[row])]
        count = sum(len(window.series_of(row)) for row in lost)
        left = [window.times[row] for row in set(rows).difference(lost)]
    except DAMAGE:
        # Nobody knows what is in it: it goes when all of it may go.
        return 0
    if not lost:
        return 0
    if not left:
        _remove_window(connection, id_)
        return int(samples)
    connection.execute(
        "UPDATE windows SET gone = ?, samples = ?, oldest = ?, newest = ? WHERE id = ?",
        (bitmap(window.count, lost, gone), samples - count, *time_bounds(left), id_),
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
    try:
        window = read_window(connection, id_, checksum, directory)
        for row in reversed(live(window.count, gone)):
            if count <= 0:
                return window.ids[row]
            count -= len(window.series_of(row))
    except DAMAGE:
        # It stays until all of it may go.
        pass
    return 0
