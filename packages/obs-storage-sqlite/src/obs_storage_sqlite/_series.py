"""The series of samples: their ids, and forgetting those that no instant and no window names any more.

Workers keep the ids that they know. With each forgetting a number rises that every write compares inside its
transaction, so that none writes an id that is of no series; and no id is given twice, since readers know some too.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple
from zlib import crc32

from ._database import Database
from ._looking import DAMAGE
from ._points import SeriesCache, SeriesKey, unpack_series
from ._windows import WindowView

# What one step looks at, and what it forgets.
_WINDOWS: Final = 16
_FORGOTTEN: Final = 500
_NO_CHUNK: Final = b""


class Known(NamedTuple):
    """Of what ids of series were learned: those of another life of the file, or from before a forgetting, are void."""

    generation: str
    forgetting: int


def known_by(connection: sqlite3.Connection) -> Known:
    """What ids that are learned in this transaction are known by."""
    (generation,) = connection.execute("SELECT id FROM generation").fetchone()
    return Known(generation, _forgetting(connection))


def _forgetting(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'series'").fetchone()
    return int(row[0]) if row else 0


def learn(connection: sqlite3.Connection, keys: Iterable[SeriesKey], ids: dict[SeriesKey, int]) -> None:
    """Give ids to new series; `ids` learns those of all the keys."""
    burnt = _forgetting(connection)
    for key in keys:
        connection.execute(
            "INSERT OR IGNORE INTO series (id, name, labels)"
            " VALUES (max((SELECT coalesce(max(id), 0) FROM series), ?) + 1, ?, ?)",
            (burnt, *key),
        )
        found = connection.execute("SELECT id FROM series WHERE name = ? AND labels = ?", key).fetchone()
        ids[key] = found[0]


class Unused:
    """Looks for series that nothing names, a few windows at a time, whenever the oldest samples went."""

    def __init__(self) -> None:
        self._looked: tuple[str, Any] | None = None
        self._look: _Look | None = None

    def step(self, database: Database) -> bool:
        """One short step; whether there may be more to do."""
        oldest = database.generation, database.read(_oldest)
        if self._look is None or self._look.oldest[0] != database.generation:
            if oldest == self._looked:
                return False
            self._look = _Look(oldest)
        if self._look.go_on(database):
            return True
        self._looked, self._look = self._look.oldest, None
        return False


class _Look:
    """One look through all windows; then what was not met is forgotten, unless it is named by what came meanwhile."""

    def __init__(self, oldest: tuple[str, Any]) -> None:
        self.oldest = oldest
        self._place = -1
        self._named: set[int] = set()
        self._left: list[int] | None = None

    def go_on(self, database: Database) -> bool:
        """Whether there is more to do."""
        if self._left is None:
            place, named = database.read(partial(_windows, after=self._place))
            if place is None:
                self._left = database.read(partial(_without, named=self._named))
            else:
                self._place = place
                self._named |= named
            return True
        if not self._left:
            return False
        some, self._left = self._left[:_FORGOTTEN], self._left[_FORGOTTEN:]
        database.transaction(
            partial(_forget, generation=self.oldest[0], after=self._place, series=frozenset(some))
        )
        return True


def _oldest(connection: sqlite3.Connection) -> Any:
    """The row of the oldest samples; sealing keeps it."""
    sql = "SELECT coalesce((SELECT min(id) FROM windows), (SELECT min(id) FROM points))"
    return connection.execute(sql).fetchone()[0]


def _windows(connection: sqlite3.Connection, after: int) -> tuple[int | None, set[int]]:
    """The series of some windows, and the last of these; None where there are no more."""
    sql = f"SELECT id, checksum, data FROM windows WHERE id > ? ORDER BY id LIMIT {_WINDOWS}"  # noqa: S608
    rows = connection.execute(sql, (after,)).fetchall()
    named: set[int] = set()
    cache = SeriesCache()
    for id_, checksum, directory in rows:
        # A directory that cannot be read gives no sample, and so needs no series.
        with suppress(*DAMAGE):
            if crc32(directory) == checksum:
                named.update(WindowView(id_, directory, lambda _: _NO_CHUNK, cache).everything())
    return (rows[-1][0] if rows else None), named


def _points(connection: sqlite3.Connection) -> set[int]:
    named: set[int] = set()
    for (packed,) in connection.execute("SELECT DISTINCT series FROM points").fetchall():
        with suppress(*DAMAGE):
            named.update(unpack_series(packed))
    return named


def _without(connection: sqlite3.Connection, named: set[int]) -> list[int]:
    named = named | _points(connection)
    rows = connection.execute("SELECT id FROM series ORDER BY id").fetchall()
    return [id_ for (id_,) in rows if id_ not in named]


def _forget(connection: sqlite3.Connection, generation: str, after: int, series: frozenset[int]) -> None:
    """Forget those that are named neither by instants nor by the windows that were sealed meanwhile."""
    if connection.execute("SELECT id FROM generation").fetchone() != (generation,):
        return
    named = _points(connection)
    place: int | None = after
    while place is not None:
        place, more = _windows(connection, place)
        named |= more
    gone = series - named
    if not gone:
        return
    (highest,) = connection.execute("SELECT coalesce(max(id), 0) FROM series").fetchone()
    burnt = max(highest, _forgetting(connection)) + 1
    connection.executemany("DELETE FROM series WHERE id = ?", [(id_,) for id_ in gone])
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'series'")
    connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('series', ?)", (burnt,))
