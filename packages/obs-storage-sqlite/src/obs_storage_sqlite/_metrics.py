"""The port of samples."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final
from zlib import crc32

import msgspec

from obs_core import MetricMetadata, MetricQuery, MetricSample, MetricSeries, MetricsStoragePort
from obs_core.checks import check_metadata

from ._database import Database
from ._looking import DAMAGE, Damage
from ._metric_deletion import Selection, delete, newest_kept, oldest_of
from ._metric_paging import MetricPage, MetricPager
from ._metric_rows import store_instants
from ._metric_series import Columns, point_samples, window_samples
from ._points import SeriesKey, instants
from ._resource import Resource
from ._series import Known, Unused, known_by
from ._writers import is_stored, note

_encode: Final = msgspec.msgpack.Encoder().encode
_metadata: Final = msgspec.msgpack.Decoder(MetricMetadata).decode
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
        pager, left = MetricPager(query, self.damage), query.limit
        while not pager.finished:
            page: MetricPage = await self._resource.read(pager.page)
            async for samples in self._samples(page, pager):
                for sample in samples[:left]:
                    yield sample
                left = None if left is None else left - len(samples)
                if left is not None and left <= 0:
                    return

    async def read_series(self, query: MetricQuery) -> AsyncIterator[MetricSeries]:
        pager = MetricPager(query, self.damage)
        columns = Columns(pager)
        while not pager.finished:
            page: MetricPage = await self._resource.read(pager.page)
            await asyncio.to_thread(columns.add, page)
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

    async def _samples(self, page: MetricPage, pager: MetricPager) -> AsyncIterator[list[MetricSample]]:
        for window in page.windows:
            try:
                pieces = window_samples(window, window.rows(pager.query, page.start), pager.wanted)
                while (samples := await asyncio.to_thread(next, pieces, None)) is not None:
                    yield samples
            except DAMAGE as error:
                self.damage.note(f"the window {window.id}", error)
        yield await asyncio.to_thread(point_samples, page.points, pager)


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
