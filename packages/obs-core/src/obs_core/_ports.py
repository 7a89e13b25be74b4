"""The ports. All may be called from any thread and any event loop; none blocks the loop for long."""

from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from ._queries import LogQuery, MetricQuery
from ._records import LogEntry, MetricFamily, MetricMetadata, MetricSample, MetricSeries, StoredLog

if TYPE_CHECKING:
    from pathlib import Path

    from ._capture import LogHandler
    from ._registry import Registry


class LogStoragePort(Protocol):
    """Keeps log entries in the order of storing; each gets a cursor that only grows."""

    async def write(self, entries: Sequence[LogEntry]) -> None:
        """Store all or none. Raises `TypeError` for what `checks.check_entries` refuses, `StorageError` else."""

    def read(self, query: LogQuery) -> AsyncIterator[StoredLog]:
        """Stream what answers the query, in pages; nothing is held in the storage between two.

        Raises `QueryError` for a cursor that is none, `CursorExpiredError` for one of another storage.
        """

    async def delete_before(self, timestamp: float, *, level: str | None = None) -> int:
        """Delete entries older than `timestamp` (exclusive), of this very level where given; how many."""

    async def keep_newest(self, count: int, *, level: str | None = None) -> int:
        """Delete all but the `count` entries stored last, of this very level where given; how many."""

    async def shrink(self, max_bytes: int, *, level: str | None = None) -> int:
        """Delete the oldest (of this very level) until `size()` is at most `max_bytes`; how many."""

    async def count(self, *, level: str | None = None) -> int:
        """How many entries are stored, of this very level where given."""

    async def size(self, *, level: str | None = None) -> int:
        """Bytes held for these entries. With a level it may be an estimate."""


class MetricsStoragePort(Protocol):
    """Keeps the history of each series, in the order of storing, and the newest metadata of each family."""

    async def write(self, samples: Sequence[MetricSample], metadata: Sequence[MetricMetadata] = ()) -> None:
        """Store all or none. Raises `TypeError` for what `checks.check_samples` and `check_metadata` refuse."""

    def read(self, query: MetricQuery) -> AsyncIterator[MetricSample]:
        """Stream the samples that answer the query, in pages."""

    def read_series(self, query: MetricQuery) -> AsyncIterator[MetricSeries]:
        """Stream whole series; `limit` counts series. Times are in the order of storing."""

    async def metadata(self) -> Sequence[MetricMetadata]:
        """The newest metadata of each family, by name."""

    async def delete_before(self, timestamp: float) -> int:
        """Delete samples older than `timestamp` (exclusive); how many."""

    async def keep_newest(self, count: int) -> int:
        """Delete all but the `count` samples stored last; how many. Those of one instant may stay together."""

    async def shrink(self, max_bytes: int) -> int:
        """Delete the oldest samples until `size()` is at most `max_bytes`; how many."""

    async def count(self) -> int:
        """How many samples are stored."""

    async def size(self) -> int:
        """Bytes held for these samples."""


class Storage(Protocol):
    """One resource with one owner. The constructor opens nothing; a closed one may be opened again.

    Opened again in a forked child, it forgets what it inherited and uses nothing of its parent's.
    """

    @property
    def logs(self) -> LogStoragePort: ...

    @property
    def metrics(self) -> MetricsStoragePort: ...

    @property
    def path(self) -> "Path | None":
        """The file that holds it, beside which others may be kept; None for memory."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    async def size(self) -> int:
        """Bytes held in all, as the medium counts them (files with their journals)."""


class WorkersPort(Protocol):
    """Where the workers of one service show each other what they count; each has one of its own.

    Several threads may use it. What cannot be read or written raises, `OSError` or `ObsError`.
    """

    def publish(self, families: Sequence[MetricFamily]) -> None:
        """Show these cumulative values of this worker from now on, all or none of them.

        A series that is missing is gone, and all of a worker's gauges are (but those of `latest`) once it is dead;
        counters and histograms stay in the totals for ever. Values that only grow must be given in their order.
        """

    def collect(self) -> list[MetricFamily]:
        """The families of the whole service, by name, exactly as published; publishes nothing itself.

        No counter and no histogram ever shows less than in a collection before, by whichever worker. Raises
        where that cannot be known.
        """


@runtime_checkable
class Maintained(Protocol):
    """What a storage offers beside `Storage` where it needs care in the background, such as merging and compressing."""

    async def maintain(self) -> bool:
        """Do one short step; whether there may be more to do. For one worker at a time: whoever holds the lease."""

    async def set_aside(self) -> int:
        """Bytes of what is kept for a human to look at, such as damaged files; part of `Storage.size`."""


@runtime_checkable
class Counted(Protocol):
    """What a storage offers beside `Storage` where it counts something itself, such as what it found damaged."""

    @property
    def registry(self) -> "Registry":
        """What it counts in this process; a runtime shows it with its own, and sets it to zero in a forked child."""


class Runtime(Protocol):
    """What an adapter needs of the owner of the background."""

    @property
    def registry(self) -> "Registry": ...

    @property
    def storage(self) -> Storage: ...

    @property
    def handler(self) -> "LogHandler": ...

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped."""

    def start(self) -> None:
        """Idempotent and thread-safe. In the main thread it also installs the exit hooks (again)."""

    def stop(self) -> None:
        """Idempotent and thread-safe: stores what is queued, then closes the storage."""

    def collect(self) -> Sequence[MetricFamily]:
        """What `/metrics` shows: every family of the whole service, by name."""

    def on_stopping(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called once when the process begins to stop; what is returned takes it back.

        It begins at the first SIGTERM, SIGINT or SIGQUIT that is seen, or at `stop()`, which is before the server
        waits for its requests: endless streams end by it. The callback runs in a thread of the runtime (at once,
        in the caller's, where stopping has begun already), must not wait, and may raise: that is reported.
        """

    def announce(self, line: str) -> None:
        """Say a line on stderr, once for all workers of a server that would say the same. Never raises."""

    def report(self, step: str, error: BaseException) -> None:
        """Take note of a failure of ours: counted, one line to stderr a minute. Never raises."""


Attributes = dict[str, Any]
