"""Samples: a row for each, and the labels of a series once."""

import sqlite3
import struct
import time
from array import array
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from obs_core import MetricMetadata, MetricQuery, MetricSample, MetricSeries, MetricsStoragePort

from ._database import Database
from ._rows import Resource, batch_is_new, delete, keep_newest

_PAGE: Final = 5000
_encode: Final = msgspec.msgpack.Encoder().encode
_labels: Final = msgspec.msgpack.Decoder(dict[str, str]).decode
_metadata: Final = msgspec.msgpack.Decoder(MetricMetadata).decode
# A double of its own, since SQLite stores NaN as NULL.
_DOUBLE: Final = struct.Struct("<d")
# What a row costs with its place in the tree and in the index.
_ROW: Final = 45


class SQLiteMetrics:
    """The `MetricsStoragePort` of a `SQLiteStorage`."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource

    async def write(self, samples: Sequence[MetricSample], metadata: Sequence[MetricMetadata] = ()) -> None:
        rows = [_sample_row(sample) for sample in samples]
        families = [_metadata_row(one) for one in metadata]
        batch = self._resource.next_batch()

        def store(connection: sqlite3.Connection) -> None:
            if batch_is_new(connection, batch, time.time()):
                _store_samples(connection, rows)
                connection.executemany("INSERT OR REPLACE INTO metadata VALUES (?, ?)", families)

        def work(database: Database) -> None:
            if rows or families:
                database.transaction(store)

        await self._resource.run(work)

    async def read(self, query: MetricQuery) -> AsyncIterator[MetricSample]:
        wanted = await self._series(query)
        last, found = 0, 0
        while wanted:
            rows = await self._page(query, last)
            for number, series, timestamp, value in rows:
                last = number
                if series in wanted:
                    name, labels = wanted[series]
                    yield MetricSample(name, _DOUBLE.unpack(value)[0], timestamp, labels)
                    found += 1
                    if found == query.limit:
                        return
            if len(rows) < _PAGE:
                return

    async def read_series(self, query: MetricQuery) -> AsyncIterator[MetricSeries]:
        series: dict[tuple[str, frozenset[tuple[str, str]]], MetricSeries] = {}
        async for sample in self.read(msgspec.structs.replace(query, limit=None)):
            key = sample.name, frozenset(sample.labels.items())
            if key not in series:
                if len(series) == query.limit:
                    continue
                series[key] = MetricSeries(sample.name, sample.labels, array("d"), array("d"))
            series[key].times.append(sample.timestamp)
            series[key].values.append(sample.value)
        for one in series.values():
            yield one

    async def metadata(self) -> Sequence[MetricMetadata]:
        return [
            _metadata(row[0])
            for row in await self._resource.fetch("SELECT record FROM metadata ORDER BY name", ())
        ]

    async def delete_before(self, timestamp: float) -> int:
        return await delete(self._resource, "samples", "timestamp < ?", [timestamp])

    async def keep_newest(self, count: int) -> int:
        return await keep_newest(self._resource, "samples", count, "1", [])

    async def shrink(self, max_bytes: int) -> int:
        return await self.keep_newest(max_bytes // _ROW) if await self.size() > max_bytes else 0

    async def count(self) -> int:
        return int((await self._resource.fetch("SELECT count(*) FROM samples", ()))[0][0])

    async def size(self) -> int:
        """An estimate of the bytes in the file."""
        return await self.count() * _ROW

    async def _series(self, query: MetricQuery) -> dict[int, tuple[str, dict[str, str]]]:
        rows = await self._resource.fetch(
            "SELECT id, name, labels FROM series WHERE ? = '' OR name = ?", (query.name, query.name)
        )
        decoded = {number: (name, _labels(labels)) for number, name, labels in rows}
        return {number: one for number, one in decoded.items() if query.labels.items() <= one[1].items()}

    async def _page(self, query: MetricQuery, after: int) -> list[Any]:
        sql = f"""SELECT id, series, timestamp, value FROM samples
            WHERE id > ? AND (? IS NULL OR +timestamp >= ?) AND (? IS NULL OR +timestamp < ?)
            ORDER BY id LIMIT {_PAGE}"""  # noqa: S608
        return await self._resource.fetch(sql, (after, query.since, query.since, query.until, query.until))


def _store_samples(connection: sqlite3.Connection, rows: Sequence[tuple[str, bytes, float, bytes]]) -> None:
    known: dict[tuple[str, bytes], int] = {}
    for key in {(name, labels) for name, labels, _, _ in rows}:
        connection.execute("INSERT OR IGNORE INTO series (name, labels) VALUES (?, ?)", key)
        known[key] = connection.execute(
            "SELECT id FROM series WHERE name = ? AND labels = ?", key
        ).fetchone()[0]
    connection.executemany(
        "INSERT INTO samples (series, timestamp, value) VALUES (?, ?, ?)",
        [(known[name, labels], timestamp, value) for name, labels, timestamp, value in rows],
    )


def _sample_row(sample: MetricSample) -> tuple[str, bytes, float, bytes]:
    if not isinstance(sample, MetricSample):
        raise TypeError(f"MetricSample is needed, not {sample!r}: nothing of the batch was stored")
    return sample.name, _encode(sample.labels), sample.timestamp, _DOUBLE.pack(sample.value)


def _metadata_row(metadata: MetricMetadata) -> tuple[str, bytes]:
    if not isinstance(metadata, MetricMetadata):
        raise TypeError(f"MetricMetadata is needed, not {metadata!r}: nothing of the batch was stored")
    return metadata.name, _encode(metadata)


if TYPE_CHECKING:
    _: type[MetricsStoragePort] = SQLiteMetrics
