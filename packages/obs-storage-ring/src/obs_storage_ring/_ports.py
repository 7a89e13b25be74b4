"""The ports over the ring."""

import secrets
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from obs_core import (
    LogEntry,
    LogQuery,
    LogStoragePort,
    MetricMetadata,
    MetricQuery,
    MetricSample,
    MetricSeries,
    MetricsStoragePort,
    StorageError,
    StoredLog,
    matches_log,
    matches_metric,
)
from obs_core.cursors import cursor_text, parse_cursor

from ._ring import Ring, Row

_encode: Final = msgspec.msgpack.Encoder().encode
_entry: Final = msgspec.msgpack.Decoder(LogEntry).decode
_sample: Final = msgspec.msgpack.Decoder(MetricSample).decode
# Families, not series: a service has hundreds of them. They do not count into the bound.
MAX_METADATA: Final = 10_000


class RingLogs:
    """The `LogStoragePort` of a `RingStorage`."""

    def __init__(self, ring: Callable[[], Ring]) -> None:
        self._ring = ring
        self.generation = secrets.token_hex(8)

    async def write(self, entries: Sequence[LogEntry]) -> None:
        _store(self._ring(), [_row("logs", LogEntry, entry) for entry in entries])

    async def read(self, query: LogQuery) -> AsyncIterator[StoredLog]:
        rows = self._ring().rows("logs")
        place = parse_cursor(query.after, self.generation) if query.after else None
        newest_first = query.order == "desc"
        found = 0
        for number, row in reversed(rows) if newest_first else rows:
            if place is not None and (number >= place if newest_first else number <= place):
                continue
            entry = _entry(row.record)
            if matches_log(query, entry):
                yield StoredLog(cursor_text(self.generation, number), entry)
                found += 1
                if found == query.limit:
                    return

    async def delete_before(self, timestamp: float, *, level: str | None = None) -> int:
        return self._ring().delete_before("logs", timestamp, level)

    async def keep_newest(self, count: int, *, level: str | None = None) -> int:
        return self._ring().keep_newest("logs", count, level)

    async def shrink(self, max_bytes: int, *, level: str | None = None) -> int:
        return self._ring().shrink("logs", max_bytes, level)

    async def count(self, *, level: str | None = None) -> int:
        return self._ring().measure("logs", level, lambda _: 1)

    async def size(self, *, level: str | None = None) -> int:
        return self._ring().measure("logs", level, lambda row: row.size)


class RingMetrics:
    """The `MetricsStoragePort` of a `RingStorage`."""

    def __init__(self, ring: Callable[[], Ring]) -> None:
        self._ring = ring
        self._metadata: dict[str, MetricMetadata] = {}

    async def write(self, samples: Sequence[MetricSample], metadata: Sequence[MetricMetadata] = ()) -> None:
        rows = [_row("metrics", MetricSample, sample) for sample in samples]
        for one in metadata:
            if not isinstance(one, MetricMetadata):
                raise TypeError(f"MetricMetadata is needed, not {one!r}: nothing of the batch was stored")
        if len(self._metadata.keys() | {one.name for one in metadata}) > MAX_METADATA:
            raise StorageError(f"over {MAX_METADATA} metric families: nothing of the batch was stored")
        _store(self._ring(), rows)
        self._metadata.update((one.name, one) for one in metadata)

    async def read(self, query: MetricQuery) -> AsyncIterator[MetricSample]:
        found = 0
        for _, row in self._ring().rows("metrics"):
            sample = _sample(row.record)
            if matches_metric(query, sample):
                yield sample
                found += 1
                if found == query.limit:
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
        self._ring()
        return [self._metadata[name] for name in sorted(self._metadata)]

    async def delete_before(self, timestamp: float) -> int:
        return self._ring().delete_before("metrics", timestamp, None)

    async def keep_newest(self, count: int) -> int:
        return self._ring().keep_newest("metrics", count, None)

    async def shrink(self, max_bytes: int) -> int:
        return self._ring().shrink("metrics", max_bytes, None)

    async def count(self) -> int:
        return self._ring().measure("metrics", None, lambda _: 1)

    async def size(self) -> int:
        return self._ring().measure("metrics", None, lambda row: row.size)


def _row(table: str, kind: type[LogEntry | MetricSample], record: Any) -> Row:
    if not isinstance(record, kind):
        raise TypeError(f"{kind.__name__} is needed, not {record!r}: nothing of the batch was stored")
    # MessagePack, since it holds NaN and infinities as they are.
    return Row(table, record.timestamp, getattr(record, "level", ""), _encode(record))


def _store(ring: Ring, rows: Sequence[Row]) -> None:
    size = sum(row.size for row in rows)
    if size > ring.max_bytes:
        raise StorageError(
            f"a batch of {size} bytes is over the bound of {ring.max_bytes}: write smaller ones"
        )
    ring.append(rows)


if TYPE_CHECKING:
    _logs: type[LogStoragePort] = RingLogs
    _metrics: type[MetricsStoragePort] = RingMetrics
