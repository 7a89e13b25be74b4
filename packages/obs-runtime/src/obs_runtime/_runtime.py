"""The runtime: start and stop, and what may be asked of it between."""

import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from obs_core import LogHandler, MetricFamily, Registry, RetentionPolicy, Runtime, Storage, StorageError
from obs_core.logger import Logger
from obs_core.retention import DEFAULT_LOG_RETENTION, DEFAULT_METRICS_RETENTION

from . import _exits, _forks, _running
from ._background import Background
from ._bell import Answer, Bell
from ._metrics import Metrics, workers_of
from ._options import Options, checked_registry, checked_storage
from ._standby import Standby
from ._status import PATIENCE, Status
from ._steps import FlushFailedError
from ._work import RuntimeWork

_STOP: Final = 2.0
_LAST: Final = 1.8
_FORK: Final = 0.05
_OPENING: Final = 10.0
_AGAIN: Final = 10.0
_SERIES: Final = 1.0


class EmbeddedRuntime:
    """The one owner of the background in a process: it opens the storage, writes, and holds it to its bounds.

    Metrics are those of the whole service: its workers meet in the folder `board`, by default beside the storage's
    file (`obs.db-live`); a storage without a file is one process. `service` tells services on one database apart, by
    a label of that name. `redact` are the names of attributes whose values never leave the process, in place of those
    of `obs_core.SECRET_NAMES`. `start()` and `stop()` are idempotent and thread-safe; `with` and `async with` do both.
    Failures of the storage never reach the host: they are counted, said once a minute on stderr, and tried again.
    While it cannot be opened, memory stands in for it; with `strict`, `start()` raises instead.
    """

    _background: Background | None = None
    _last: Background | None
    _forked = 0.0

    def __init__(
        self,
        storage: Storage,
        *,
        registry: Registry | None = None,
        service: str = "",
        board: str | os.PathLike[str] | None = None,
        log_retention: RetentionPolicy = DEFAULT_LOG_RETENTION,
        metrics_retention: RetentionPolicy = DEFAULT_METRICS_RETENTION,
        flush_interval: float = 1.0,
        history_interval: float = 15.0,
        log_level: str = "INFO",
        redact: Iterable[str] | None = None,
        process_metrics: bool = True,
        signals: bool = True,
        strict: bool = False,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = Options(
            log_retention, metrics_retention, flush_interval, history_interval, log_level, clock, monotonic
        )
        self.registry = checked_registry(registry)
        self.handler = LogHandler(redact=redact)
        self.signals = signals
        self._status = Status(self.handler, monotonic, process_metrics=process_metrics)
        self.storage = Standby(checked_storage(storage), self.handler, self._status, strict=strict)
        workers = workers_of(storage.path, service, board, self._status.conflict)
        self._metrics = Metrics(self.registry, self._status, workers)
        self._work = RuntimeWork(self._options, self.storage, self.handler, self._metrics, self._status)
        self._become_new()
        _forks.watch(self)
        _exits.watch(self)
        _exits.install()

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._background is not None

    def start(self) -> None:
        """Begin to capture and to write.

        Raises `ConfigurationError` where another runtime of this process runs on this registry or this file; with
        `strict=True` also what opening the storage raised, which is not tried again for 10 s.
        """
        background = self._background
        if background is not None and background.alive and not _exits.due():
            return
        with self._lock:
            _exits.install()
            if self._background is not None:
                if not self._background.alive:
                    # It must not end by itself; whatever it was, the service goes on.
                    self._begin()
                return
            if self._options.monotonic() < self._not_before:
                raise StorageError(f"{self._refusal} (tried within the last {_AGAIN:g} s)")
            _running.enter(self, self.registry, self.storage.path)
            self._metrics.take_over()
            self.handler.closed = False
            self._bell.hurried_until = 0.0
            self._work.stopping.again()
            self._begin()
            self._work.capture()
        # Not under the lock, for which the host's event loop may wait.
        if self.storage.strict:
            self._insist()

    def stop(self) -> None:
        """Write what is queued, close the storage, end the background; takes at most 2 s."""
        self._stop(_STOP)

    def flush(self, timeout: float = 10.0) -> None:
        """Return when all that was recorded before is stored. Raises `ObsError` where it is not after `timeout` s."""
        if not _exits.wait_for(self.ask(), timeout):
            if self._background is None:
                raise FlushFailedError(
                    "not all could be stored: the runtime is not started; call start() first"
                )
            why = f" ({self.storage.error})" if self.storage.error else ""
            raise FlushFailedError(f"not all could be stored: it is kept and tried again{why}")

    def logger(self, name: str) -> Logger:
        """A logger whose keyword arguments are attributes."""
        return self.handler.logger(name)

    def collect(self) -> Sequence[MetricFamily]:
        """Every family of the service at this instant, by name. Raises where the totals cannot be known."""
        return self._metrics.collect()

    def on_stopping(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called once when the process begins to stop; what is returned takes it back."""
        return self._work.stopping.add(callback)

    def announce(self, line: str) -> None:
        """Say a line on stderr, once for all workers of a server; never raises."""
        self._work.announce(line)

    def report(self, step: str, error: BaseException) -> None:
        """Take note of a failure of ours; never raises."""
        self._status.report(step, error)

    def hurry(self) -> None:
        """A signal says that the process begins to stop; safe in its handler."""
        background = self._background
        if background is not None:
            background.hurry()

    def ask(self, *, last: bool = False) -> Answer | None:
        """Ask for a write of all that is queued, the `last` one; safe in signal handlers. None where nothing runs."""
        if self._background is None:
            return None
        return self._bell.ask(last=last)

    def last_write(self) -> None:
        """At the end of the process: write and publish, within 2 s."""
        _exits.wait_for(self.ask(last=True), _LAST)
        if self._last is not None:
            self._work.publish()

    def before_fork(self) -> None:
        """Stop the thread, so that no lock of its is copied; waits at most 50 ms."""
        # Whoever starts or stops meanwhile has no half done thing copied, if it is quick.
        if self._lock.acquire(timeout=_FORK):
            self._forking.add(threading.get_ident())
        if self._background is not None:
            self._background.pause(_FORK)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._background is not None and not self._background.resume():
            self._begin(settle=time.monotonic() - self._forked < _SERIES)
        self._forked = time.monotonic()
        if threading.get_ident() in self._forking:
            self._forking.discard(threading.get_ident())
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Be a new process: what is queued and counted is the parent's."""
        self._become_new()
        self.handler.forget()
        self._work.after_fork_in_child()
        self._metrics.after_fork_in_child()
        if self._background is not None:
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

    def __del__(self) -> None:
        background = self._background
        # At the end of the interpreter the hooks have written what there was.
        if background is None or not background.alive or sys.is_finalizing():
            return
        try:
            warnings.warn(f"the runtime of {self.storage!r} was never stopped", ResourceWarning, stacklevel=2)
        finally:
            _exits.leave(background)
            self._stop(0.0)

    def _stop(self, timeout: float) -> None:
        with self._lock:
            background, self._background = self._background, None
            if background is None:
                return
            self._work.stopping.begin()
            ended = background.stop(timeout)
            self._work.end_capture()
            self._work.release()
            if not ended:
                # What it counted since the last second is shown even though the storage hangs.
                self._work.publish()
            _running.leave(self, self.registry)

    def _insist(self) -> None:
        """Do not run without the storage, nor try it at each request; an upgrade of its file may take minutes."""
        answers = False
        try:
            _exits.wait_for(self.ask(), _OPENING)
            answers = self.storage.wait_while_opening(_OPENING - PATIENCE)
            if answers:
                _exits.wait_for(self.ask(), _OPENING)
        finally:
            is_open, error = self.storage.is_open, self.storage.error if answers else None
            if not is_open:
                self._stop(_STOP)
        if not is_open:
            error = error or StorageError(f"{self.storage!r} did not open in {_OPENING:g} s")
            self._refusal, self._not_before = str(error), self._options.monotonic() + _AGAIN
            raise error

    def _become_new(self) -> None:
        """In a forked child a lock may be held by a thread that is not there."""
        self._lock = threading.RLock()
        self._forking: set[int] = set()
        self._bell = Bell()
        # Why a strict start failed, and when it may be tried again.
        self._refusal, self._not_before = "", float("-inf")
        self._last = None
        self.handler.on_urgent = self._bell.ring
        work, bell = self._work, self._bell  # not the runtime, which the handler must not keep

        def taken_off() -> None:
            work.taken_off()
            bell.ring()

        self.handler.on_close = taken_off

    def _begin(self, *, settle: bool = False) -> None:
        """Start a background, behind the one before where that still has something to finish."""
        background = Background(
            self._work, self._bell, self._options.flush_interval, after=self._last, settle=settle
        )
        background.start()
        self._background = self._last = background


if TYPE_CHECKING:
    _: type[Runtime] = EmbeddedRuntime
