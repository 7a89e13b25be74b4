"""Holding a storage to its policies: what is decided in the core, carried out."""

from typing import Final

from msgspec import structs

from obs_core import LogQuery, LogStoragePort, Maintained, MetricsStoragePort, RetentionPolicy, Storage
from obs_core.retention import Deletion, Facts, TrustedClock, by_level, plan_retention

from ._status import Status

# A storage that grows by so many bytes between two passes gets one more.
_GROWTH: Final = 4_000_000
_BESIDE: Final = 24_000_000


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
        bounded = logs.max_bytes is not None and metrics.max_bytes is not None
        self._limit = (logs.max_bytes or 0) + (metrics.max_bytes or 0) if bounded else 0

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
        self._status.bytes_limit.set(self._limit)

    async def _grew(self) -> bool:
        """Whether so much came in that it cannot wait. Asked where the medium tells it cheaply: of a file."""
        return isinstance(self._storage, Maintained) and await self._storage.size() - self._held > _GROWTH

    async def _with_overhead(self, samples: int) -> RetentionPolicy:
        """The policy of logs, less what the medium holds beside records (journals, reserves, what is set aside)."""
        bound = self._logs.max_bytes
        if bound is None:
            return self._logs
        aside = await self._storage.set_aside() if isinstance(self._storage, Maintained) else 0
        beside = await self._storage.size() - aside - samples - await self._storage.logs.size()
        # Not without end: what waits to be given back would be deleted once more. What is set aside stays.
        less = min(min(max(beside, 0), _BESIDE) + aside, bound - bound // 4)
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
