"""What the runtime says of itself, as metrics like any other and as one line a minute to stderr."""

import sys
import time
from collections.abc import Callable

from obs_core import LogHandler, MetricFamily, MetricMetadata, Registry
from obs_core.encoders import series_key

_MINUTE = 60.0


class Status:
    """Counts failures by step, and keeps the gauges of the storage."""

    def __init__(self, handler: LogHandler, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.registry = Registry()
        self._handler = handler
        self._monotonic = monotonic
        self._said: dict[str, float] = {}
        self.flushes = self.registry.histogram(
            "obs_flush_duration_seconds", "Time to write one batch of log entries."
        )
        self.bytes = self.registry.gauge(
            "obs_storage_bytes", "Bytes that the storage holds.", aggregate="max"
        )
        self.degraded = self.registry.gauge(
            "obs_storage_degraded", "1 while nothing can be stored: history is not written.", aggregate="max"
        )
        self._errors = self.registry.counter(
            "obs_storage_errors_total", "Failures of ours, by what was being done.", labels=("operation",)
        )

    def collect(self) -> list[MetricFamily]:
        """The counts that the handler keeps by itself."""
        dropped = self._handler.queue.dropped()
        keys = [series_key("obs_log_entries_dropped_total", {"reason": reason}) for reason in dropped]
        return [
            MetricFamily(
                MetricMetadata("obs_log_entries", "counter", "Log entries taken over."),
                ["obs_log_entries_total"],
                [float(self._handler.accepted)],
            ),
            MetricFamily(
                MetricMetadata(
                    "obs_log_entries_dropped", "counter", "Log entries that were dropped, by reason."
                ),
                keys,
                [float(count) for count in dropped.values()],
            ),
        ]

    def report(self, step: str, error: BaseException) -> None:
        """Count a failure; one line a minute for each step. Never raises."""
        self._errors.labels(step).inc()
        now = self._monotonic()
        if now - self._said.get(step, -_MINUTE) >= _MINUTE:
            self._said[step] = now
            try:
                sys.stderr.write(f"obs: {step}: {error}\n")
            except (OSError, ValueError, AttributeError):
                # stderr may be closed, or None under pythonw: the count above stays.
                return
