"""The two ports of the storage: records come and go as MessagePack, and are read in pages."""

import asyncio
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from obs_core import (
    SEVERITY,
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
from obs_core.checks import check_entries, check_metadata, check_samples
from obs_core.cursors import cursor_text, parse_cursor

from ._chunk import OVERHEAD, Row
from ._deletions import bytes_of, delete, first, older_than
from ._held import LOGS, METRICS, Held

_encoder: Final = msgspec.msgpack.Encoder()
_entry: Final = msgspec.msgpack.Decoder(LogEntry).decode
_sample: Final = msgspec.msgpack.Decoder(MetricSample).decode
Find = Callable[[], Held]


class RingLogs:
    """The `LogStoragePort` of a `RingStorage`."""

    def __init__(self, held: Find) -> None:
        self._held = held

    async def write(self, entries: Sequence[LogEntry]) -> None:
        held = self._held()
        check_entries(entries)
        buffer = bytearray()
        rows = [_row(entry, entry.level, buffer) for entry in entries]
        if not held.ring.append(LOGS, rows):
            raise _too_large(held)

    async def read(self, query: LogQuery) -> AsyncIterator[StoredLog]:
        """What is stored when it begins, as far as it is not forgotten meanwhile."""
        held = self._held()
        place = parse_cursor(query.after, held.generation) if query.after else None
        newest_first = query.order == "desc"
        after, before = 0, held.ring.next
        if place is not None and newest_first:
            before = min(before, place)
        elif place is not None:
            after = place
        found = 0
        while (page := held.ring.page(LOGS, after, before, newest_first=newest_first)).numbers:
            for number, row in zip(page.numbers, page.rows, strict=True):
                entry = _entry(row.record) if _may_answer(query, row) else None
                if entry is not None and matches_log(query, entry):
                    yield StoredLog(cursor_text(held.generation, number), entry)
                    found += 1
                    if found == query.limit:
                        return
            last = page.numbers[-1]
            after, before = (after, last) if newest_first else (last, before)
            if query.progress is not None:
                query.progress(cursor_text(held.generation, last))
            await asyncio.sleep(0)  # others in this loop go on between two pages

    async def delete_before(self, timestamp: float, *, level: str | None = None) -> int:
        return await delete(self._held().ring, LOGS, older_than(timestamp, level))

    async def keep_newest(self, count: int, *, level: str | None = None) -> int:
        ring = self._held().ring
        return await delete(ring, LOGS, first(ring.count(LOGS, level) - count, level))

    async def shrink(self, max_bytes: int, *, level: str | None = None) -> int:
        ring = self._held().ring
        return await delete(ring, LOGS, bytes_of(ring.size(LOGS, level) - max_bytes, level))

    async def count(self, *, level: str | None = None) -> int:
        return self._held().ring.count(LOGS, level)

    async def size(self, *, level: str | None = None) -> int:
        return self._held().ring.size(LOGS, level)


class RingMetrics:
    """The `MetricsStoragePort` of a `RingStorage`."""

    def __init__(self, held: Find) -> None:
        self._held = held

    async def write(self, samples: Sequence[MetricSample], metadata: Sequence[MetricMetadata] = ()) -> None:
        held = self._held()
        check_samples(samples)
        check_metadata(metadata)
        buffer = bytearray()
        rows = [_row(sample, "", buffer) for sample in samples]
        changed = {one.name: one for one in metadata}
        with held.lock:
            replaced = [held.metadata[name] for name in changed if name in held.metadata]
            more = sum(map(_cost, changed.values())) - sum(map(_cost, replaced))
            if not held.ring.append(METRICS, rows, reserved=more):
                raise _too_large(held)
            held.metadata.update(changed)

    async def read(self, query: MetricQuery) -> AsyncIterator[MetricSample]:
        """What is stored when it begins, as far as it is not forgotten meanwhile."""
        ring = self._held().ring
        after, before, found = 0, ring.next, 0
        while (page := ring.page(METRICS, after, before)).numbers:
            for row in page.rows:
                sample = _sample(row.record) if _in_time(query, row) else None
                if sample is not None and matches_metric(query, sample):
                    yield sample
                    found += 1
                    if found == query.limit:
                        return
            after = page.numbers[-1]
            await asyncio.sleep(0)

    async def read_series(self, query: MetricQuery) -> AsyncIterator[MetricSeries]:
        """They are gathered first, at 16 bytes a sample: a fraction of what the ring holds for it."""
        series: dict[tuple[str, frozenset[tuple[str, str]]], MetricSeries] = {}
        async for sample in self.read(msgspec.structs.replace(query, limit=None)):
            key = sample.name, frozenset(sample.labels.items())
            one = series.get(key)
            if one is None:
                if len(series) == query.limit:
                    continue
                one = series[key] = MetricSeries(sample.name, sample.labels, array("d"), array("d"))
            one.times.append(sample.timestamp)
            one.values.append(sample.value)
        for one in series.values():
            yield one

    async def metadata(self) -> Sequence[MetricMetadata]:
        held = self._held()
        with held.lock:
            return [held.metadata[name] for name in sorted(held.metadata)]

    async def delete_before(self, timestamp: float) -> int:
        return await delete(self._held().ring, METRICS, older_than(timestamp, None))

    async def keep_newest(self, count: int) -> int:
        ring = self._held().ring
        return await delete(ring, METRICS, first(ring.count(METRICS) - count, None))

    async def shrink(self, max_bytes: int) -> int:
        ring = self._held().ring
        return await delete(ring, METRICS, bytes_of(ring.size(METRICS) - max_bytes, None))

    async def count(self) -> int:
        return self._held().ring.count(METRICS)

    async def size(self) -> int:
        return self._held().ring.size(METRICS)


def _row(record: LogEntry | MetricSample, mark: str, buffer: bytearray) -> Row:
    return Row(record.timestamp, mark, _encoded(record, buffer))


def _cost(metadata: MetricMetadata) -> int:
    return len(_encoded(metadata, bytearray())) + OVERHEAD


def _encoded(record: LogEntry | MetricSample | MetricMetadata, buffer: bytearray) -> bytes:
    """Raises `TypeError` for what the checks cannot see: text that is no UTF-8, integers over 64 bits."""
    try:
        # MessagePack, since it holds NaN and infinities as they are. By a buffer: what `encode` returns keeps the
        # slack of its growing in memory, half as much again where records are large.
        _encoder.encode_into(record, buffer)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{error}: nothing of the batch was stored") from error
    return bytes(buffer)


def _may_answer(query: LogQuery, row: Row) -> bool:
    """What can be told without decoding it."""
    return _in_time(query, row) and SEVERITY.get(row.mark, 0) >= query.severity


def _in_time(query: LogQuery | MetricQuery, row: Row) -> bool:
    return (query.since is None or row.time >= query.since) and (
        query.until is None or row.time < query.until
    )


def _too_large(held: Held) -> StorageError:
    return StorageError(
        f"a batch that can never fit into {held.ring.max_bytes} bytes was not stored: write smaller ones"
    )


if TYPE_CHECKING:
    _logs: type[LogStoragePort] = RingLogs
    _metrics: type[MetricsStoragePort] = RingMetrics
