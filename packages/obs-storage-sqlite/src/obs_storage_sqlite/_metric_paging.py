"""Pages of reading samples: a sealed window, then rows of instants; each a short read transaction."""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from zlib import crc32

import aiosqlite

from obs_core import MetricQuery, StorageError

from ._headers import live
from ._points import SeriesCache, unpack_values
from ._schema import SPAN
from ._windows import WindowView

_VARIABLES: Final = 500


async def windows(connection: aiosqlite.Connection, query: MetricQuery, place: int, limit: int) -> list[Any]:
    """The next windows that may hold an answer: id, last, gone, checksum, directory."""
    where, bounds = _bounds(query, "newest >= ?", "oldest < ?")
    sql = f"SELECT id, last, gone, checksum, data FROM windows WHERE last > ?{where} ORDER BY id LIMIT ?"  # noqa: S608
    return list(await connection.execute_fetchall(sql, (place, *bounds, limit)))


async def points(connection: aiosqlite.Connection, query: MetricQuery, place: int, limit: int) -> list[Any]:
    """The next instants: id, timestamp, series, checksum, values."""
    where, bounds = _bounds(query, "+timestamp >= ?", "+timestamp < ?")
    sql = f"SELECT id, timestamp, series, checksum, data FROM points WHERE id > ?{where} ORDER BY id LIMIT ?"  # noqa: S608
    return list(await connection.execute_fetchall(sql, (place, *bounds, limit)))


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
        times = self.view.times
        if self.id > place and within(query, min(times)) and within(query, max(times)):
            return self.live
        ids = self.view.ids
        return [row for row in self.live if ids[row] > place and within(query, times[row])]

    def _chunk(self, number: int) -> bytes:
        checksum, data = self._chunks.get(self.id * SPAN + number, (0, b""))
        if not data or crc32(data) != checksum:
            raise StorageError("the checksum of a chunk is wrong")
        return data


def point_values(row: Sequence[Any]) -> Any:
    """The values of an instant; None where it is damaged."""
    _, _, series, checksum, data = row
    return unpack_values(data) if crc32(series + data) == checksum else None


def within(query: MetricQuery, timestamp: float) -> bool:
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
