"""The runtime: start and stop, and what may be asked of it between."""

import logging
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from obs_core import ConfigurationError, LogHandler, MetricFamily, Registry, RetentionPolicy, Runtime, Storage
from obs_core.logger import Logger
from obs_core.retention import DEFAULT_RETENTION

from ._background import Background
from ._exits import Exits
from ._forks import watch
from ._status import Status
from ._steps import Flush, FlushFailedError, History, Retention
from ._stopping import Stopping

_STOP: Final = 2.0
_FORK: Final = 0.05
_running: "weakref.WeakSet[Registry]" = weakref.WeakSet()


class EmbeddedRuntime:
    """The one owner of the background in a process: it opens the storage, writes, and holds it to its bounds.

    `start()` and `stop()` are idempotent and thread-safe; `with` and `async with` do both. Failures of the storage
    never reach the host: they are counted, said once a minute on stderr, and tried again.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        registry: Registry | None = None,
        log_retention: RetentionPolicy = DEFAULT_RETENTION,
        metrics_retention: RetentionPolicy = DEFAULT_RETENTION,
        flush_interval: float = 1.0,
        history_interval: float = 15.0,
        log_level: str = "INFO",
        signals: bool = True,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not flush_interval > 0 or not history_interval > 0:
            raise ConfigurationError("flush_interval and history_interval must be above 0 seconds")
        self.registry = Registry() if registry is None else registry
        self.storage = storage
        self.handler = LogHandler()
        self._status = Status(self.handler, monotonic)
        self._log_level = log_level
        self._interval = flush_interval
        self._clock, self._monotonic = clock, monotonic
        self._flush = Flush(storage, self.handler, self._status)
        self._history = History(storage, self.collect, history_interval)
        self._retention = Retention(storage, log_retention, metrics_retention, self._status)
        self._lock = threading.RLock()
        self._background: Background | None = None
        self._paused = False
        self._opened = False
        self._stopping = Stopping(self.report)
        self._exits = Exits(self._hurry, self._flush_at_exit, signals=signals)
        self._exits.install()
        self.handler.on_urgent = self._wake
        watch(self)

    def start(self) -> None:
        """Begin to capture and to write. Raises `ConfigurationError` where another runtime runs on this registry."""
        with self._lock:
            self._exits.install()
            if self._background is not None:
                return
            if self.registry in _running:
                raise ConfigurationError(
                    "another runtime runs on this registry: stop it, or give each its own"
                )
            _running.add(self.registry)
            self.registry.include(self._status.registry)
            self.handler.closed = False
            self._stopping.again()
            self._capture()
            self._begin()

    def stop(self) -> None:
        """Write what is queued, close the storage, end the background; takes at most 2 s."""
        with self._lock:
            background, self._background = self._background, None
            if background is None:
                return
            self._stopping.begin()
            logging.getLogger().removeHandler(self.handler)
            self.handler.closed = True
            background.stop(_STOP)
            _running.discard(self.registry)

    def flush(self, timeout: float = 10.0) -> None:
        """Return when all that was recorded before is stored. Raises `ObsError` where it is not after `timeout` s."""
        background = self._background
        if background is None or not background.flush(timeout):
            raise FlushFailedError(
                "not all could be stored: it is kept and tried again; is the runtime started?"
            )

    def logger(self, name: str) -> Logger:
        """A logger whose keyword arguments are attributes."""
        return self.handler.logger(name)

    def collect(self) -> Sequence[MetricFamily]:
        """Every family of the service at this instant, by name."""
        return sorted(
            [*self.registry.collect(), *self._status.collect()], key=lambda family: family.metadata.name
        )

    def on_stopping(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called once when the process begins to stop; what is returned takes it back."""
        return self._stopping.add(callback)

    def report(self, step: str, error: BaseException) -> None:
        """Take note of a failure of ours; never raises."""
        self._status.report(step, error)

    def before_fork(self) -> None:
        """Stop the thread, so that no lock of its is copied; waits at most 50 ms."""
        self._paused = self._background is not None
        if self._background is not None:
            self._background.stop(_FORK)

    def after_fork_in_parent(self) -> None:
        if self._paused:
            self._begin()

    def after_fork_in_child(self) -> None:
        """Be a new process: what is queued and counted is the parent's."""
        self._lock = threading.RLock()
        self.handler.queue.clear()
        self._flush.forget()
        self._stopping.forget()
        self.registry.reset()
        if self._paused:
            self._begin()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def _begin(self) -> None:
        self._background = Background(
            self._tick, self._open, self._close, self._stopping.begin, self._interval
        )
        self._background.start()

    def _capture(self) -> None:
        """Be on the root logger, whose level is set only where nobody has set one."""
        root = logging.getLogger()
        if root.level == logging.WARNING and not root.handlers:
            root.setLevel(self._log_level)
        if self.handler not in root.handlers:
            root.addHandler(self.handler)

    async def _open(self) -> None:
        try:
            await self.storage.__aenter__()
            self._opened = True
            self._status.degraded.set(0)
        except Exception as error:  # the host starts in any case
            self._status.degraded.set(1)
            self._status.report("open the storage", error)

    async def _close(self) -> None:
        if self._opened:
            self._opened = False
            try:
                await self.storage.__aexit__(None, None, None)
            except Exception as error:  # the host stops in any case
                self._status.report("close the storage", error)

    async def _tick(self, urgent: bool) -> bool:
        """One pass. What a dictConfig removed is put back, and what could not be opened is tried again."""
        now, wall = self._monotonic(), self._clock()
        if not self._opened:
            await self._open()
        if not self._opened:
            return False
        if not self.handler.closed:
            self._capture()
        done = await self._flush.tick(now, urgent=urgent)
        for name, step in (("history", self._history), ("retention", self._retention)):
            try:
                await step.tick(now, wall)
            except Exception as error:  # a failing step never kills the loop
                self._status.report(name, error)
        return done

    def _wake(self) -> None:
        background = self._background
        if background is not None:
            background.wake()

    def _hurry(self) -> None:
        background = self._background
        if background is not None:
            background.hurry()

    def _flush_at_exit(self) -> None:
        background = self._background
        if background is not None:
            background.flush(1.0)


if TYPE_CHECKING:
    _: type[Runtime] = EmbeddedRuntime
