"""What the runtime says of itself, as metrics like any other and as one line a minute to stderr."""

import sys
import threading
import time
from collections import Counter as Counts
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from obs_core import Counted, Counter, LogHandler, MetricFamily, MetricMetadata, Registry
from obs_core.encoders import series_key
from obs_core.process import Read
from obs_core.process import process_metrics as declare_process_metrics

_MINUTE: Final = 60.0
# Who waits longer for the storage takes it for one that hangs.
PATIENCE: Final = 5.0
# How old what the operating system says may be where nobody asks: it changes always, and costs most of what is shown.
_AGE: Final = 5.0
_ENTRIES: Final = MetricMetadata("obs_log_entries", "counter", "Log entries taken over.")
_DROPPED: Final = MetricMetadata(
    "obs_log_entries_dropped", "counter", "Log entries that were dropped, by reason."
)


class Status:
    """Counts failures by step, and keeps the gauges of the storage."""

    _seen: int
    _by_storage: int
    _looked: float
    _seen_of_process: list[MetricFamily]

    def __init__(
        self,
        handler: LogHandler,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        process_metrics: bool = False,
    ) -> None:
        self.registry = Registry()
        self._process = Registry()
        self._storage = Registry()
        if process_metrics:
            declare_process_metrics(self._process)
        self._handler = handler
        self._monotonic = monotonic
        self._said = -_MINUTE
        self._conflict_said = False
        self._unsaid: Counts[str] = Counts()
        self.flushes = self.registry.histogram(
            "obs_flush_duration_seconds", "Time to write one batch of log entries."
        )
        self.bytes = self.registry.gauge(
            "obs_storage_bytes", "Bytes that the storage holds.", aggregate="max"
        )
        self.bytes_limit = self.registry.gauge(
            "obs_storage_bytes_limit",
            "Bytes that retention holds the storage to; 0 without a bound.",
            aggregate="max",
        )
        # Asked by whoever collects: the thread that writes may be the one that hangs. It is known at once, without
        # the thread beside in which the functions of gauges are asked.
        self.registry.declare_gauge(
            "obs_storage_degraded",
            "1 while nothing can be stored: history is not written.",
            partial(Read, lambda: float(self.degraded)),
            aggregate="max",
        )
        self._conflicts = self.registry.counter(
            "obs_metric_conflicts_total",
            "Workers whose metric is of another kind than the newest worker's, and left out.",
            labels=("metric",),
        )
        self.deleted = self.registry.counter(
            "obs_retention_deleted_total", "What retention deleted: logs, samples.", labels=("kind",)
        )
        self._errors = self.registry.counter(
            "obs_storage_errors_total", "Failures of ours, by what was being done.", labels=("operation",)
        )

        self.refused = Counter()
        self.forgotten = Counter()
        self.in_memory = self.failing = False
        self._waiting_since: float | None = None
        self._start_counting()

    @property
    def degraded(self) -> bool:
        """Whether nothing is written to the storage: memory stands in, the last write failed, or one hangs."""
        since = self._waiting_since
        hangs = since is not None and self._monotonic() - since > PATIENCE
        return self.in_memory or self.failing or hangs

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around what the storage is asked to do."""
        self._waiting_since = self._monotonic()
        try:
            yield
        finally:
            self._waiting_since = None

    def collect(self, *, fresh: bool = True) -> list[MetricFamily]:
        """All of them, with the counts that the handler keeps by itself. What is not `fresh` is at most 5 s old."""
        now = self._monotonic()
        if fresh or now - self._looked >= _AGE:
            self._looked, self._seen_of_process = now, self._process.collect()
        dropped = self._dropped()
        keys = [series_key("obs_log_entries_dropped_total", {"reason": reason}) for reason in dropped]
        accepted = [float(self._handler.accepted)]
        return [
            *self._seen_of_process,
            *self._storage.collect(),
            *self.registry.collect(),
            MetricFamily(_ENTRIES, ["obs_log_entries_total"], accepted, created=self._created),
            MetricFamily(_DROPPED, keys, list(dropped.values()), created=self._created),
        ]

    def include(self, storage: object) -> None:
        """Show what the storage counts, from now on: what another runtime showed of it stays in the totals."""
        if isinstance(storage, Counted):
            self._storage = storage.registry
            self._storage.reset()

    def degrade(self) -> None:
        """Nothing can be stored from now on: what the queue has no room for meanwhile is the storage's."""
        self._dropped()
        self.failing = True

    def recover(self) -> None:
        """It can be stored again."""
        self._dropped()
        self.failing = False

    def attribute_drops(self) -> None:
        """Say of what the queue had no room for since the last call why that was."""
        self._dropped()

    def after_fork_in_child(self) -> None:
        """Count from zero: what was counted is the parent's."""
        self.registry.reset()
        self._process.reset()
        self._storage.reset()
        self.refused.reset()
        self.forgotten.reset()
        self.in_memory = self.failing = False
        self._waiting_since = None
        self._start_counting()

    def _start_counting(self) -> None:
        self._lock = threading.Lock()
        self._created = time.time()
        self._looked, self._seen_of_process = float("-inf"), []
        self._seen = self._by_storage = 0

    def _dropped(self) -> dict[str, float]:
        with self._lock:
            counts = self._handler.queue.dropped()
            full = counts["queue_full"]
            if self.degraded:
                self._by_storage += full - self._seen
            self._seen = full
            counts["queue_full"] -= self._by_storage
        storage = self._by_storage + self.forgotten.values()[0]
        return {**counts, "storage": storage, "refused": self.refused.values()[0]}

    def conflict(self, metric: str) -> None:
        """A worker has this metric as another kind; the first is said."""
        self._conflicts.labels(metric).inc()
        if not self._conflict_said:
            self._conflict_said = True
            say(
                f"{metric} is of another kind in another process, and one of both is left out: where that is another"
                ' service on this database, give each EmbeddedRuntime(..., service="NAME")'
            )

    def count(self, step: str) -> None:
        """Count a failure that was said already."""
        self._errors.labels(step).inc()

    def report(self, step: str, error: BaseException) -> None:
        """Count a failure; one line a minute, which also names what else failed since the one before. Never raises."""
        self.count(step)
        now = self._monotonic()
        if now - self._said < _MINUTE:
            self._unsaid[step] += 1
            return
        unsaid, self._unsaid = self._unsaid, Counts()
        self._said = now
        more = ", ".join(f"{name} {count} times" for name, count in unsaid.items())
        also = f" (since the last line also: {more})" if more else ""
        say(f"{step}: {error}{also}")


def say(line: str) -> None:
    """A line to stderr. Never raises."""
    try:
        sys.stderr.write(f"obs: {line}\n")
    except Exception:  # stderr may be closed, None under pythonw, or the host's
        return
