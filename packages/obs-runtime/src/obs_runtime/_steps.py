"""What the background does: each pass is a plain `tick`, apart from the thread that calls it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from obs_core import LogEntry, LogHandler, Maintained, MetricFamily, MetricSample, ObsError, Storage
from obs_core.encoders import parse_series_key

from ._retention import Retention
from ._status import Status

BATCH = 1000
BATCH_BYTES = 8_000_000
# Writing goes on within 5 s of the moment from which it can.
_BACK_OFF = (1.0, 2.0, 3.0)


class Flush:
    """Writes what is queued. A batch that could not be written is kept, and tried again with back-off."""

    def __init__(self, storage: Storage, handler: LogHandler, status: Status) -> None:
        self._storage = storage
        self._handler = handler
        self._status = status
        # A storage knows a batch that it was given before by the object, and does not store it twice.
        self._kept: list[list[LogEntry]] = []
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
                    batch = self._drain(min(self._limit(), left))
                    left -= len(batch)
                    if not batch:
                        break
                    self._kept = [batch]
                await self._write()
            except Exception as error:  # a failing step never kills the loop
                self._status.report("write logs", error)
                self._status.degrade()
                self.failed(now)
                return False
            self._failures, self._not_before = 0, 0.0
            self._status.flushes.observe(perf_counter() - begun)
            self._status.recover()
            if enough():
                break
        return not self._kept and left <= 0

    def forget(self) -> None:
        """As a forked child does: its parent writes the batch."""
        self._kept = []
        self._failures, self._not_before = 0, 0.0

    async def _write(self) -> None:
        while self._kept:
            batch = self._kept[0]
            try:
                await self._storage.logs.write(batch)
            except (TypeError, ValueError, OverflowError) as error:
                # Not the storage but an entry is at fault: the others must not be lost with it, nor wait for ever.
                if len(batch) > 1:
                    self._kept = [[entry] for entry in batch]
                    continue
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
