"""What the operating system knows of this process, under Prometheus' names, and the lag of an event loop.

Nothing is asked until a registry is collected, and no event loop is imported: it is handed over.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from . import _functions  # noqa: F401  # see below
from ._instruments import Histogram
from ._registry import Registry

# Its gauges are functions. What they need is imported now: a process that gives up its rights may not read it later.

LAG_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_PROC: Final = Path("/proc")
_IMPORTED: Final = time.time()


class Loop(Protocol):
    """What is needed of an event loop: asyncio's and uvloop's have it."""

    def time(self) -> float: ...

    def is_closed(self) -> bool: ...

    def call_later(self, delay: float, callback: Callable[[], object]) -> Any: ...


class Read:
    """A series whose value is asked for, and known at once: a forked child has its own by itself."""

    __slots__ = ("_read",)

    def __init__(self, read: Callable[[], float]) -> None:
        self._read = read

    def values(self) -> tuple[float]:
        try:
            return (self._read(),)
        except (OSError, ValueError):
            return (float("nan"),)

    @staticmethod
    def gather(series: "Iterable[Read]") -> list[float]:
        return [value for one in series for value in one.values()]

    def reset(self) -> None:
        """There is nothing to set to zero."""


def process_metrics(registry: Registry) -> None:
    """Declare `process_cpu_seconds_total` and, where they can be had, three gauges for each worker.

    CPU time is summed over the workers of a service. Resident memory, start time and open files are
    `per_worker`: their sum would say nothing. Without /proc, memory is the most that there ever was.
    """
    cpu = partial(Read, time.process_time)
    registry.declare_counter("process_cpu_seconds_total", "CPU time, user and system, in seconds.", cpu)
    for name, text, read in (
        ("process_resident_memory_bytes", "Resident memory in bytes.", _resident_memory),
        ("process_start_time_seconds", "When the process started, in Unix seconds.", _StartTime()),
        ("process_open_fds", "Open file descriptors.", _open_files),
    ):
        with suppress(OSError, ImportError, ValueError):
            read()  # what this platform does not tell is not declared
            registry.declare_gauge(name, text, partial(Read, read), aggregate="per_worker")


class LoopLag:
    """How late an event loop calls what is due: a histogram, by one timer for a loop and no task.

    Where a loop begins to serve (ASGI's lifespan, or the first request) call `watch` with it.
    """

    def __init__(self, registry: Registry, *, interval: float = 1.0) -> None:
        self._lags = registry.histogram(
            "obs_event_loop_lag_seconds",
            "How late the event loop called a timer of ours.",
            buckets=LAG_BUCKETS,
            unit="seconds",
        )
        self._interval = interval
        self._samplings: list[_Sampling] = []

    def watch(self, loop: Loop) -> Callable[[], None]:
        """Sample until the result is called, or the loop ends. From the loop's own thread; once for each loop."""
        self._samplings = [one for one in self._samplings if not (one.stopped or one.loop.is_closed())]
        for sampling in self._samplings:
            if sampling.loop is loop:
                return sampling.stop
        sampling = _Sampling(loop, self._lags, self._interval)
        self._samplings.append(sampling)
        sampling.next()
        return sampling.stop


class _Sampling:
    """One loop that is watched."""

    def __init__(self, loop: Loop, lags: Histogram, interval: float) -> None:
        self.loop = loop
        self.stopped = False
        self._lags = lags
        self._interval = interval
        self._due = 0.0
        self._timer: Any = None

    def next(self) -> None:
        self._due = self.loop.time() + self._interval
        self._timer = self.loop.call_later(self._interval, self._sample)

    def stop(self) -> None:
        self.stopped = True
        self._timer.cancel()

    def _sample(self) -> None:
        self._lags.observe(max(self.loop.time() - self._due, 0.0))
        self.next()


def _resident_memory() -> float:
    try:
        pages = int((_PROC / "self" / "statm").read_bytes().split()[1])
        return float(pages * os.sysconf("SC_PAGE_SIZE"))
    except OSError:
        import resource  # not on Windows, and not needed where /proc is  # noqa: PLC0415

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(most if sys.platform == "darwin" else most * 1024)


class _StartTime:
    """Read once in each process: it stays, and /proc/stat is slow to read."""

    def __init__(self) -> None:
        self._pid, self._time = 0, 0.0

    def __call__(self) -> float:
        pid = os.getpid()
        if pid != self._pid:
            self._pid, self._time = pid, _start_time()
        return self._time


def _start_time() -> float:
    try:
        # The name of the process, in parentheses, may hold anything; the 22nd field is the 20th after it.
        ticks = float((_PROC / "self" / "stat").read_bytes().rpartition(b")")[2].split()[19])
        boot = next(line for line in (_PROC / "stat").read_bytes().splitlines() if line.startswith(b"btime "))
        return float(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, StopIteration):
        return _IMPORTED


def _open_files() -> float:
    for folder in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            # One of them is the listing itself.
            return float(len(os.listdir(folder)) - 1)  # noqa: PTH208  # names alone, at every scrape
    raise OSError("this platform does not list open files")
