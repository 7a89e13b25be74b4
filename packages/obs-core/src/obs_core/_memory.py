"""A storage in plain memory: for tests, and for services that need no history."""

from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from os import getpid, urandom
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from ._errors import CursorExpiredError
from ._ports import Storage
from ._queries import LogQuery, MetricQuery, matches_log, matches_metric
from ._records import LogEntry, MetricMetadata, MetricSample, MetricSeries, StoredLog
from ._table import Table, check_encoding
from .cursors import cursor_text, parse_cursor

if TYPE_CHECKING:
    from pathlib import Path

_PAGE: Final = 1000


class _Logs:
    def __init__(self, max_entries: int) -> None:
        from .checks import check_entries  # imports take time, and few have a storage of this kind  # noqa: PLC0415

        self.table = Table(check_entries, max_entries)
        self.generation = urandom(8).hex()
        self.is_gone = False

    async def write(self, entries: Sequence[LogEntry]) -> None:
        self.table.append(entries)

    async def read(self, query: LogQuery) -> AsyncIterator[StoredLog]:
        if self.is_gone:
            raise CursorExpiredError
        self.table.check()
        place = parse_cursor(query.after, self.generation) if query.after else None
        rows = self.table.rows()
        newest_first = query.order == "desc"
        if place is not None:
            rows = [row for row in rows if (row[0] < place if newest_first else row[0] > place)]
        found = 0
        for looked, (number, entry) in enumerate(reversed(rows) if newest_first else rows):
            if query.progress is not None and looked and looked % _PAGE == 0:
                query.progress(cursor_text(self.generation, number + (1 if newest_first else -1)))
            if not matches_log(query, entry):
                continue
            yield StoredLog(cursor_text(self.generation, number), entry)
            found += 1
            if found == query.limit:
                return

    async def delete_before(self, timestamp: float, *, level: str | None = None) -> int:
        counted = _of_level(level)
        return self.table.delete(lambda entry: entry.timestamp < timestamp and counted(entry))

    async def keep_newest(self, count: int, *, level: str | None = None) -> int:
        return self.table.keep_newest(count, _of_level(level))

    async def shrink(self, max_bytes: int, *, level: str | None = None) -> int:
        return self.table.shrink(max_bytes, _of_level(level))

    async def count(self, *, level: str | None = None) -> int:
        return self.table.count(_of_level(level))

    async def size(self, *, level: str | None = None) -> int:
        return self.table.size(_of_level(level))


class _Metrics:
    def __init__(self, max_samples: int) -> None:
        from .checks import check_metadata, check_samples  # noqa: PLC0415

        self.table = Table(check_samples, max_samples)
        self._check_metadata = check_metadata
        self.known: dict[str, MetricMetadata] = {}

    async def write(self, samples: Sequence[MetricSample], metadata: Sequence[MetricMetadata] = ()) -> None:
        self._check_metadata(metadata)
        check_encoding(metadata)
        self.table.append(samples)
        for one in metadata:
            self.known[one.name] = one

    async def read(self, query: MetricQuery) -> AsyncIterator[MetricSample]:
        found = 0
        for _, sample in self.table.rows():
            if matches_metric(query, sample):
                yield sample
                found += 1
                if found == query.limit:
                    return

    async def read_series(self, query: MetricQuery) -> AsyncIterator[MetricSeries]:
        series: dict[tuple[str, frozenset[tuple[str, str]]], MetricSeries] = {}
        for _, sample in self.table.rows():
            if not matches_metric(query, sample):
                continue
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
        self.table.check()
        return [self.known[name] for name in sorted(self.known)]

    async def delete_before(self, timestamp: float) -> int:
        return self.table.delete(lambda sample: sample.timestamp < timestamp)

    async def keep_newest(self, count: int) -> int:
        return self.table.keep_newest(count, _any)

    async def shrink(self, max_bytes: int) -> int:
        return self.table.shrink(max_bytes, _any)

    async def count(self) -> int:
        return self.table.count(_any)

    async def size(self) -> int:
        return self.table.size(_any)


class MemoryStorage:
    """Keeps the newest `max_entries` log entries and `max_samples` samples; what is older is forgotten.

    Closing it forgets nothing: opened again, it is as it was.
    """

    def __init__(self, *, max_entries: int = 100_000, max_samples: int = 100_000) -> None:
        self._bounds = max_entries, max_samples
        self._begin()

    def _begin(self) -> None:
        max_entries, max_samples = self._bounds
        self._owner = getpid()
        self._logs = _Logs(max_entries)
        self._metrics = _Metrics(max_samples)

    @property
    def logs(self) -> _Logs:
        return self._logs

    @property
    def metrics(self) -> _Metrics:
        return self._metrics

    @property
    def path(self) -> "Path | None":
        return None

    async def __aenter__(self) -> Self:
        if self._owner != getpid():  # a forked child: what it inherited is its parent's, locks too
            self._begin()
        self._logs.table.opened = self._metrics.table.opened = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._logs.table.opened = self._metrics.table.opened = False

    async def size(self) -> int:
        return await self._logs.size() + await self._metrics.size()

    def hand_over(self) -> tuple[list[LogEntry], list[MetricSample], list[MetricMetadata]]:
        """Give all it holds away, the oldest first, and be empty and closed.

        Who reads on, as a stream that follows does, is told that its cursor expired.
        """
        logs, metrics = self._logs, self._metrics
        logs.is_gone = True
        self._begin()
        entries = [entry for _, entry in logs.table.rows()]
        return entries, [sample for _, sample in metrics.table.rows()], list(metrics.known.values())


def _of_level(level: str | None) -> Callable[[LogEntry], bool]:
    return _any if level is None else lambda entry: entry.level == level


def _any(_record: object) -> bool:
    return True


if TYPE_CHECKING:
    _: type[Storage] = MemoryStorage
