"""The port of samples."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zlib import crc32

import aiosqlite
import msgspec

from obs_core import MetricMetadata, MetricQuery, MetricSample, MetricSeries, MetricsStoragePort
from obs_core.checks import check_metadata

from ._database import Database
from ._looking import DAMAGE, Damage
from ._metric_deletion import Selection, delete, newest_kept, oldest_of
from ._metric_paging import Opened, chunks, points, windows
from ._metric_rows import store_instants
from ._metric_series import Columns, Wanted, open_window, point_samples, window_samples
from ._points import SeriesCache, SeriesKey, instants, labels_of
from ._resource import Resource
from ._series import Known, Unused, known_by
from ._writers import is_stored, note

_encode: Final = msgspec.msgpack.Encoder().encode
_metadata: Final = msgspec.msgpack.Decoder(MetricMetadata).decode
_POINTS: Final = 256
_WINDOWS: Final = 32
# Bytes of a sample in memory, more or less.
_HELD: Final = 200


class SQLiteMetrics:
    """The `MetricsStoragePort` of a `SQLiteStorage`. Samples of one write and instant go and stay together."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._ids: dict[SeriesKey, int] = {}
        self._ids_of = Known("", 0)
        self.damage = Damage(resource.registry, "samples")
        self.unused = Unused()

    async def write(self, samples: Sequence[MetricSample], metadata: Sequence[MetricMetadata] = ()) -> None:
        rows = instants(samples)
        check_metadata(metadata)
        families = [_family(one) for one in metadata]
        self._resource.check()
        if not rows and not families:
            return
        learned: dict[SeriesKey, int] = {}
        known = self._ids_of

        def store(connection: sqlite3.Connection) -> None:
            nonlocal learned, known
            if is_stored(connection, batch):
                return
            note(connection, batch)
            # Whoever is called again does not know how this ended.
            batch.again = True
            known = known_by(connection)
            learned = dict(self._ids) if self._ids_of == known else {}
            store_instants(connection, rows, learned)
            _store_families(connection, families)

        def checksum() -> int:
            return crc32(_encode((samples, metadata)))

        batches = self._resource.metric_batches
        batch = batches.begin(samples, checksum)
        try:
            await self._resource.store(lambda _: store, None, 8 * len(samples))
        except BaseException:
            batches.failed(samples, checksum(), _HELD * len(samples), batch)
            raise
        # Not before it is committed: what was rolled back is not in the file.
        self._ids, self._ids_of = learned, known

    async def read(self, query: MetricQuery) -> AsyncIterator[MetricSample]:
        wanted, cache, left = await self._wanted(query), SeriesCache(), query.limit
        page = MetricPage(0, [], [], not wanted)
        while not page.finished:
            place = page.place
            page = await self._resource.read(
                partial(self._page, query=query, place=place, wanted=wanted, cache=cache)
            )
            async for samples in self._samples(page, query, place, wanted, cache):
                for sample in samples[:left]:
                    yield sample
                left = None if left is None else left - len(samples)
                if left is not None and left <= 0:
                    return

    async def read_series(self, query: MetricQuery) -> AsyncIterator[MetricSeries]:
        wanted, cache = await self._wanted(query), SeriesCache()
        columns = Columns(wanted, query.limit, self.damage)
        page = MetricPage(0, [], [], not wanted)
        while not page.finished:
            place = page.place
            page = await self._resource.read(
                partial(self._page, query=query, place=place, wanted=wanted, cache=cache)
            )
            await asyncio.to_thread(self._collect, columns, page, query, place, cache)
        for series in columns.series():
            yield series

    async def metadata(self) -> Sequence[MetricMetadata]:
        rows = await self._resource.fetch("SELECT record FROM metadata ORDER BY name", ())
        return [_metadata(row[0]) for row in rows]

    async def delete_before(self, timestamp: float) -> int:
        return await self._delete(Selection(before=timestamp))

    async def keep_newest(self, count: int) -> int:
        upto = await self._resource.run(lambda database: newest_kept(database, count))
        return await self._delete(Selection(upto=upto)) if upto else 0

    async def shrink(self, max_bytes: int) -> int:
        deleted = 0
        while (excess := await self.size() - max_bytes) > 0:
            upto = await self._resource.run(partial(oldest_of, excess=excess))
            count = await self._delete(Selection(upto=upto)) if upto else 0
            deleted += count
            if not count:
                break
        return deleted

    async def count(self) -> int:
        return await self._sum("samples")

    async def size(self) -> int:
        """Bytes in the file."""
        return await self._sum("size")

    async def _sum(self, column: str) -> int:
        sql = f"SELECT sum({column}) FROM windows UNION ALL SELECT sum({column}) FROM points"  # noqa: S608
        return sum(row[0] or 0 for row in await self._resource.fetch(sql, ()))

    async def _delete(self, selection: Selection) -> int:
        deleted = await self._resource.run(lambda database: delete(database, selection))
        if deleted:
            await self._resource.run(Database.give_back)
        return deleted

    async def _wanted(self, query: MetricQuery) -> Wanted:
        rows = await self._resource.fetch(
            "SELECT id, name, labels FROM series WHERE ? IN ('', name)", (query.name,)
        )
        decoded = {id_: (name, labels_of(labels)) for id_, name, labels in rows}
        return {id_: one for id_, one in decoded.items() if query.labels.items() <= one[1].items()}

    async def _page(
        self,
        connection: aiosqlite.Connection,
        query: MetricQuery,
        place: int,
        wanted: Wanted,
        cache: SeriesCache,
    ) -> "MetricPage":
        """Some windows with the chunks that are needed, and behind the last of them some instants."""
        rows = await windows(connection, query, place, _WINDOWS)
        opened = [window for row in rows if (window := open_window(row, cache, self.damage))]
        found = await chunks(connection, [id_ for one in opened for id_ in one.wanted(wanted)])
        for one in opened:
            one.give(found)
        place = rows[-1][1] if rows else place
        if len(rows) == _WINDOWS:
            return MetricPage(place, opened, [], finished=False)
        instants_ = await points(connection, query, place, _POINTS)
        place = instants_[-1][0] if instants_ else place
        return MetricPage(place, opened, instants_, finished=len(instants_) < _POINTS)

    async def _samples(
        self, page: "MetricPage", query: MetricQuery, place: int, wanted: Wanted, cache: SeriesCache
    ) -> AsyncIterator[list[MetricSample]]:
        for window in page.windows:
            try:
                pieces = window_samples(window, window.rows(query, place), wanted)
                while (samples := await asyncio.to_thread(next, pieces, None)) is not None:
                    yield samples
            except DAMAGE as error:
                self.damage.note(f"the window {window.id}", error)
        yield await asyncio.to_thread(point_samples, page.points, wanted, cache, self.damage)

    def _collect(
        self, columns: Columns, page: "MetricPage", query: MetricQuery, place: int, cache: SeriesCache
    ) -> None:
        for window in page.windows:
            try:
                columns.add_window(window, window.rows(query, place))
            except DAMAGE as error:
                self.damage.note(f"the window {window.id}", error)
        columns.add_points(page.points, cache)


class MetricPage(NamedTuple):
    """Windows and instants, the last row that is dealt with then, and whether it is the last page."""

    place: int
    windows: list[Opened]
    points: list[Any]
    finished: bool


def _family(metadata: MetricMetadata) -> tuple[str, bytes]:
    try:
        return metadata.name, _encode(metadata)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise TypeError(f"a MetricMetadata cannot be stored, so nothing of the batch was: {error}") from error


def _store_families(connection: sqlite3.Connection, families: Sequence[tuple[str, bytes]]) -> None:
    """Only what is new: the same families come every 15 seconds."""
    for name, record in families:
        row = connection.execute("SELECT record FROM metadata WHERE name = ?", (name,)).fetchone()
        if row is None or row[0] != record:
            connection.execute("INSERT OR REPLACE INTO metadata VALUES (?, ?)", (name, record))


if TYPE_CHECKING:
    _: type[MetricsStoragePort] = SQLiteMetrics
