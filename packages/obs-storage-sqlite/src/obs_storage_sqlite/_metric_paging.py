"""Pages of reading samples: a sealed window, then rows of instants; each a short read transaction."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from zlib import crc32

import aiosqlite

from obs_core import MetricQuery, StorageError

from ._headers import live
from ._looking import DAMAGE, Damage
from ._points import SeriesCache, encode_labels, labels_of
from ._schema import SPAN
from ._windows import WindowView

# The series that a query asks for: name and labels by the id under which samples are stored.
Wanted = Mapping[int, tuple[str, dict[str, str]]]
_POINTS: Final = 256
_WINDOWS: Final = 32
_VARIABLES: Final = 500


class MetricPage(NamedTuple):
    """Windows and instants to look into; the place behind which the rows lie that were not seen yet."""

    windows: "list[Opened]"
    points: list[Any]
    start: int


class MetricPager:
    """Reads page after page: some windows with the chunks that are needed, behind the last of them some instants."""

    def __init__(self, query: MetricQuery, damage: Damage) -> None:
        self.query, self.damage = query, damage
        self._place = 0
        self.cache = SeriesCache()
        self.wanted: Wanted = {}
        self.finished = False

    async def page(self, connection: aiosqlite.Connection) -> MetricPage:
        """The next page; sets `finished` with the last one."""
        start = self._place
        if not start:
            self.wanted = await _wanted(connection, self.query)
            if not self.wanted:
                self.finished = True
                return MetricPage([], [], start)
        rows = await _windows(connection, self.query, start)
        opened = [window for row in rows if (window := self._open(row))]
        found = await chunks(connection, [id_ for one in opened for id_ in one.wanted(self.wanted)])
        for one in opened:
            one.give(found)
        points: list[Any] = []
        if rows:
            self._place = rows[-1][1]
        if len(rows) < _WINDOWS:
            points = await _points(connection, self.query, self._place)
            self.finished = len(points) < _POINTS
        if points:
            self._place = points[-1][0]
        return MetricPage(opened, points, start)

    def _open(self, row: Sequence[Any]) -> "Opened | None":
        """A window, or None where it is damaged, which is noted."""
        try:
            return Opened(row, self.cache)
        except DAMAGE as error:
            self.damage.note(f"the window {row[0]}", error)
            return None


async def _wanted(connection: aiosqlite.Connection, query: MetricQuery) -> Wanted:
    """The series of a query. Most of those that are not asked for are left out before their labels are decoded."""
    try:
        query.name.encode()
        # As they stand in the labels of a series, behind the number of these.
        pairs = [encode_labels({name: value})[1:] for name, value in query.labels.items()]
    except UnicodeEncodeError:  # half of a surrogate pair, which no stored text holds
        return {}
    where = " AND instr(labels, ?)" * len(pairs)
    sql = f"SELECT id, name, labels FROM series WHERE ? IN ('', name){where}"  # noqa: S608
    rows = await connection.execute_fetchall(sql, (query.name, *pairs))
    decoded = {id_: (name, labels_of(labels)) for id_, name, labels in rows}
    return {id_: one for id_, one in decoded.items() if query.labels.items() <= one[1].items()}


async def _windows(connection: aiosqlite.Connection, query: MetricQuery, place: int) -> list[Any]:
    """The next windows that may hold an answer: id, last, gone, checksum, directory."""
    where, bounds = _bounds(query, "newest >= ?", "oldest < ?")
    sql = f"SELECT id, last, gone, checksum, data FROM windows WHERE last > ?{where} ORDER BY id LIMIT ?"  # noqa: S608
    return list(await connection.execute_fetchall(sql, (place, *bounds, _WINDOWS)))


async def _points(connection: aiosqlite.Connection, query: MetricQuery, place: int) -> list[Any]:
    """The next instants: id, timestamp, series, checksum, values."""
    where, bounds = _bounds(query, "+timestamp >= ?", "+timestamp < ?")
    sql = f"SELECT id, timestamp, series, checksum, data FROM points WHERE id > ?{where} ORDER BY id LIMIT ?"  # noqa: S608
    return list(await connection.execute_fetchall(sql, (place, *bounds, _POINTS)))


async def chunks(connection: aiosqlite.Connection, ids: Sequence[int]) -> dict[int, tuple[int, bytes]]:
    """Chunks by their ids."""
    found: dict[int, tuple[int, bytes]] = {}
    for start in range(0, len(ids), _VARIABLES):
        some = ids[start : start + _VARIABLES]
        sql = f"SELECT id, checksum, data FROM chunks WHERE id IN ({','.join('?' * len(some))})"  # noqa: S608
        found.update((row[0], (row[1], row[2])) for row in await connection.execute_fetchall(sql, some))
    return found


class Opened:
    """A window whose directory is unpacked, and whose chunks are there when they are asked for."""

    def __init__(self, row: Sequence[Any], cache: SeriesCache) -> None:
        self.id, self.last, gone, checksum, directory = row
        if crc32(directory) != checksum:
            raise StorageError("the checksum of a window is wrong")
        self._chunks: dict[int, tuple[int, bytes]] = {}
        self.view = WindowView(self.id, directory, self._chunk, cache)
        self.live = live(self.view.count, gone)

    def wanted(self, series: Iterable[int]) -> list[int]:
        """The ids of the chunks that hold these series."""
        return [self.id * SPAN + number for number in self.view.chunks_of(series)]

    def give(self, found: dict[int, tuple[int, bytes]]) -> None:
        self._chunks = found

    def rows(self, query: MetricQuery, place: int) -> Sequence[int]:
        """The rows that are not gone, lie beyond a place and in the time asked for."""
        if self.id > place and self._lies_within(query):
            return self.live
        times, ids = self.view.times, self.view.ids
        return [row for row in self.live if ids[row] > place and _within(query, times[row])]

    def _lies_within(self, query: MetricQuery) -> bool:
        """Whether all rows lie in the time asked for."""
        return (query.since is None or min(self.view.times) >= query.since) and (
            query.until is None or max(self.view.times) < query.until
        )

    def _chunk(self, number: int) -> bytes:
        checksum, data = self._chunks.get(self.id * SPAN + number, (0, b""))
        if not data or crc32(data) != checksum:
            raise StorageError("the checksum of a chunk is wrong")
        return data


def is_whole(row: Sequence[Any]) -> bool:
    """Whether an instant is as it was written."""
    _, _, series, checksum, data = row
    return crc32(data, crc32(series)) == checksum  # type: ignore[no-any-return]


def _within(query: MetricQuery, timestamp: float) -> bool:
    """Whether a time is asked for."""
    return (query.since is None or timestamp >= query.since) and (
        query.until is None or timestamp < query.until
    )


def _bounds(query: MetricQuery, since: str, until: str) -> tuple[str, list[float]]:
    parts = [
        (condition, bound)
        for condition, bound in ((since, query.since), (until, query.until))
        if bound is not None
    ]
    return "".join(f" AND {condition}" for condition, _ in parts), [bound for _, bound in parts]
