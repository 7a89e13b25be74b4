"""What the background does: each pass is a plain `tick`, apart from the thread that calls it."""

from collections.abc import Callable, Sequence
from time import perf_counter

from obs_core import (
    LogEntry,
    LogHandler,
    Maintained,
    MetricFamily,
    MetricMetadata,
    MetricSample,
    ObsError,
    Storage,
)
from obs_core.encoders import parse_series_key

from ._backoff import BackOff
from ._standby import Standby
from ._status import Status

BATCH = 1000
BATCH_BYTES = 8_000_000
# Samples that are written at once.
_PORTION = 10_000
# Writing goes on within 5 s of the moment from which it can.
_BACK_OFF = (1.0, 2.0, 3.0)


class Flush:
    """Writes what is queued. A batch that could not be written is kept, and tried again with back-off."""

    def __init__(self, standby: Standby, handler: LogHandler, status: Status) -> None:
        self._standby = standby
        self._handler = handler
        self._status = status
        # A storage knows a batch that it was given before by the object, and does not store it twice.
        self._kept: list[list[LogEntry]] = []
        self._back_off = BackOff(*_BACK_OFF)

    async def tick(
        self, now: float, *, asked: bool = False, enough: Callable[[], bool] = lambda: False
    ) -> bool:
        """Write until the queue is empty or it is `enough`; False where something is left. `now` is monotonic."""
        if self._back_off.is_early(now) and not asked:
            return False
        # What comes meanwhile is for the next pass: else there may be no end.
        left = max(self._handler.queue.entries, 0)
        await self._standby.make_room(left, self._handler.queue.size)
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
                self._back_off.failed(now)
                return False
            self._back_off.succeeded()
            self._status.flushes.observe(perf_counter() - begun)
            self._status.recover()
            if enough():
                break
        return not self._kept and left <= 0

    def write_first(self, entries: Sequence[LogEntry]) -> None:
        """Write these, which came before all that is queued."""
        self._kept = [list(entries[at : at + BATCH]) for at in range(0, len(entries), BATCH)] + self._kept

    def forget(self) -> None:
        """As a forked child does: its parent writes the batch."""
        self._kept = []
        self._back_off.succeeded()

    def give_up(self) -> int:
        """Forget what was not written, and what is queued; how many entries that were."""
        lost, self._kept = sum(map(len, self._kept)), []
        while batch := self._handler.queue.drain(BATCH):
            lost += len(batch)
        return lost

    async def _write(self) -> None:
        batch, *others = self._kept
        try:
            with self._status.waiting():
                await self._standby.logs.write(batch)
        except (TypeError, ValueError, OverflowError) as error:
            # Not the storage but an entry is at fault: the others must not be lost with it, nor wait for ever.
            if len(batch) > 1:
                self._kept = [[entry] for entry in batch] + others
                return
            self._status.refused.inc()
            self._status.report("write logs", error)
        self._kept = others

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
        self, standby: Standby, collect: Callable[[], Sequence[MetricFamily]], interval: float
    ) -> None:
        self._standby = standby
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
        await self._standby.metrics.write(samples, [family.metadata for family in families])

    async def write_first(self, samples: Sequence[MetricSample], metadata: Sequence[MetricMetadata]) -> None:
        """Write these, which came before."""
        for at in range(0, len(samples), _PORTION):
            await self._standby.metrics.write(samples[at : at + _PORTION], metadata)


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


class FlushFailedError(ObsError):
    """What was recorded could not be stored in time; it is kept and tried again."""

    __module__ = "obs_runtime"
