"""What the background does: each pass is a plain `tick`, apart from the thread that calls it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from msgspec import structs

from obs_core import (
    LogEntry,
    LogHandler,
    LogQuery,
    LogStoragePort,
    Maintained,
    MetricFamily,
    MetricSample,
    MetricsStoragePort,
    ObsError,
    RetentionPolicy,
    Storage,
)
from obs_core.encoders import parse_series_key
from obs_core.retention import Deletion, Facts, TrustedClock, by_level, plan_retention

from ._status import Status

BATCH = 1000
BATCH_BYTES = 8_000_000
_BACK_OFF = (1.0, 2.0, 5.0, 10.0)
# A storage that grows by so many bytes between two passes gets one more.
_GROWTH: Final = 4_000_000
_BESIDE: Final = 24_000_000


class Flush:
    """Writes what is queued. A batch that could not be written is kept, and tried again with back-off."""

    def __init__(self, storage: Storage, handler: LogHandler, status: Status) -> None:
        self._storage = storage
        self._handler = handler
        self._status = status
        self._kept: list[LogEntry] = []
        self._failures = 0
        self._not_before = 0.0

    def backs_off(self, now: float) -> bool:
        """Whether it is too early to try again; `now` is monotonic."""
        return now < self._not_before

    def failed(self, now: float) -> None:
        """Wait longer each time."""
        self._not_before = now + _BACK_OFF[min(self._failures, len(_BACK_OFF) - 1)]
        self._failures += 1

    async def tick(
        self, now: float, *, urgent: bool = False, enough: Callable[[], bool] = lambda: False
    ) -> bool:
        """Write until the queue is empty or it is `enough`; False where something is left. `now` is monotonic."""
        if self.backs_off(now) and not urgent:
            return False
        # What comes meanwhile is for the next pass: else there may be no end.
        left = max(self._handler.queue.entries, 0)
        while self._kept or left > 0:
            begun = perf_counter()
            try:
                if not self._kept:
                    self._kept = self._drain(min(self._limit(), left))
                    left -= len(self._kept)
                if not self._kept:
                    break
                await self._write()
            except Exception as error:  # a failing step never kills the loop
                self._status.report("write logs", error)
                self._status.degraded.set(1)
                self.failed(now)
                return False
            self._kept = []
            self._failures, self._not_before = 0, 0.0
            self._status.flushes.observe(perf_counter() - begun)
            self._status.degraded.set(0)
            if enough():
                break
        return not self._kept and left <= 0

    def forget(self) -> None:
        """As a forked child does: its parent writes the batch."""
        self._kept = []
        self._failures, self._not_before = 0, 0.0

    async def _write(self) -> None:
        try:
            await self._storage.logs.write(self._kept)
        except (TypeError, ValueError, OverflowError):
            # Not the storage but an entry is at fault: the others must not be lost with it, nor wait for ever.
            await self._write_apart()

    async def _write_apart(self) -> None:
        while self._kept:
            try:
                await self._storage.logs.write(self._kept[:1])
            except (TypeError, ValueError, OverflowError) as error:
                self._status.refused.inc()
                self._status.report("write logs", error)
            self._kept = self._kept[1:]

    def _drain(self, limit: int) -> list[LogEntry]:
        before = self._handler.queue.entries
        try:
            return self._handler.drain(limit)
        except Exception:  # redaction that fails: the entries are gone, and must be counted
            self._status.refused.inc(max(before - self._handler.queue.entries, 0))
            raise

    def _limit(self) -> int:
        """How many entries make a batch: bounded in bytes too, since it is held beside the queue."""
        queue = self._handler.queue
        average = queue.size // max(queue.entries, 1)
        return max(1, min(BATCH, BATCH_BYTES // max(average, 1)))


class History:
    """Writes the value of every series, each `interval` seconds."""

    def __init__(
        self, storage: Storage, collect: Callable[[], Sequence[MetricFamily]], interval: float
    ) -> None:
        self._storage = storage
        self._collect = collect
        self._interval = interval
        self._next = 0.0

    async def tick(self, now: float, wall: float) -> None:
        """`now` is monotonic, `wall` the time of the samples."""
        if now < self._next:
            return
        self._next = now + self._interval
        families = self._collect()
        samples = [
            MetricSample(name, value, wall, labels)
            for family in families
            for key, value in zip(family.keys, family.values, strict=True)
            for name, labels in (parse_series_key(key),)
        ]
        await self._storage.metrics.write(samples, [family.metadata for family in families])


class Retention:
    """Holds the storage to its policies, each `interval` seconds."""

    def __init__(
        self,
        storage: Storage,
        logs: RetentionPolicy,
        metrics: RetentionPolicy,
        status: Status,
        interval: float = 10.0,
    ) -> None:
        self._storage = storage
        self._logs = logs
        self._metrics = metrics
        self._status = status
        self._interval = interval
        self._next = 0.0
        self._clock: TrustedClock | None = None
        self._held = 0

    async def tick(self, now: float, wall: float) -> None:
        if self._clock is None:
            self._clock = TrustedClock(await self._newest(), wall, now)
        believed = self._clock.believed(wall, now)
        if now < self._next and not await self._grew():
            return
        self._next = now + self._interval
        logs, metrics = self._storage.logs, self._storage.metrics
        samples = Facts(count=await metrics.count(), size=await metrics.size())
        policy = await self._with_overhead(samples.size)
        for level, of_level in by_level(policy):
            facts = Facts(count=await logs.count(level=level), size=await logs.size(level=level))
            for deletion in plan_retention(of_level, facts, believed, level):
                self._status.deleted.labels("logs").inc(await delete_logs(logs, deletion))
        for deletion in plan_retention(self._metrics, samples, believed):
            self._status.deleted.labels("samples").inc(await delete_samples(metrics, deletion))
        self._held = await self._storage.size()
        self._status.bytes.set(self._held)

    async def _grew(self) -> bool:
        """Whether so much came in that it cannot wait. Asked where the medium tells it cheaply: of a file."""
        return isinstance(self._storage, Maintained) and await self._storage.size() - self._held > _GROWTH

    async def _with_overhead(self, samples: int) -> RetentionPolicy:
        """The policy of logs, less what the medium holds beside records (journals, reserves, what is set aside)."""
        bound = self._logs.max_bytes
        if bound is None:
            return self._logs
        beside = await self._storage.size() - samples - await self._storage.logs.size()
        # Not without end: what waits to be given back would be deleted once more.
        less = min(max(beside, 0), _BESIDE, bound - bound // 4)
        return structs.replace(self._logs, max_bytes=bound - less)

    async def _newest(self) -> float | None:
        async for stored in self._storage.logs.read(LogQuery(order="desc", limit=1)):
            return stored.entry.timestamp
        return None


async def delete_logs(port: LogStoragePort, deletion: Deletion) -> int:
    """Carry a decision out; how many entries went."""
    if deletion.operation == "delete_before":
        return await port.delete_before(deletion.value, level=deletion.level)
    if deletion.operation == "keep_newest":
        return await port.keep_newest(int(deletion.value), level=deletion.level)
    return await port.shrink(int(deletion.value), level=deletion.level)


async def delete_samples(port: MetricsStoragePort, deletion: Deletion) -> int:
    """The same for samples."""
    if deletion.operation == "delete_before":
        return await port.delete_before(deletion.value)
    if deletion.operation == "keep_newest":
        return await port.keep_newest(int(deletion.value))
    return await port.shrink(int(deletion.value))


class Maintenance:
    """Gives a storage that needs care its steps, for a part of each second."""

    def __init__(self, storage: Storage, budget: float = 0.3) -> None:
        self._storage = storage
        self._budget = budget

    async def tick(self, now: float, wall: float) -> None:
        """As many steps as begin within the budget, at least one."""
        if not isinstance(self._storage, Maintained):
            return
        begun = perf_counter()
        while await self._storage.maintain() and perf_counter() - begun < self._budget:
            pass


@dataclass(frozen=True, slots=True)
class Steps:
    """All of them."""

    flush: Flush
    history: History
    retention: Retention
    maintenance: Maintenance


class FlushFailedError(ObsError):
    """What was recorded could not be stored in time; it is kept and tried again."""
