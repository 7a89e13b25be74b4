"""The metrics of this worker, and those of the service."""

import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from obs_core import MetricFamily, Registry

from ._board._errors import BoardError, NoRoomError
from ._board.alone import Alone
from ._board.board import Board
from ._status import Status

# From so many series on a metric may come to its bound (2,000 in the service) within a second.
_MANY: Final = 500
_LOOK: Final = 5.0

# Who showed a registry's counts last. The board is kept, so that the worker lives as long as its counts.
_shown: "weakref.WeakKeyDictionary[Registry, tuple[weakref.ref[Metrics], Board]]" = (
    weakref.WeakKeyDictionary()
)


class Metrics:
    """This worker's own families, and those of the service."""

    def __init__(self, registry: Registry, status: Status, workers: "Board | Alone") -> None:
        self._registry = registry
        self._status = status
        self.workers = workers
        self._crowded = False
        self._held = 0.0
        self._lock = threading.RLock()

    def take_over(self) -> None:
        """Be the one worker with these counts: a runtime before this one, on the same registry, shows them no more.

        What it showed stays in the totals, so this one begins from zero.
        """
        known = _shown.get(self._registry)
        if known is not None and known[1] is not self.workers and known[1].joined:
            before, workers = known
            if (metrics := before()) is not None:
                with suppress(OSError, BoardError):
                    metrics.publish()
            workers.close()
            self._registry.reset()
        if isinstance(self.workers, Board):
            _shown[self._registry] = weakref.ref(self), self.workers

    def own(self, *, fresh: bool = True) -> list[MetricFamily]:
        """What this worker counts, and what the runtime says of itself; a name of the host's is the host's."""
        families = [*self._status.collect(fresh=fresh), *self._registry.collect()]
        return list({family.metadata.name: family for family in families}.values())

    def publish(self, timeout: float = -1, *, fresh: bool = True) -> None:
        """Show what this worker counts. Raises what the board raises, or `TimeoutError` behind another thread.

        What the operating system says of the process may be some seconds old where it is not to be `fresh`.
        """
        # Together, so that older values are never shown over newer ones.
        if not self._lock.acquire(timeout=timeout):
            raise TimeoutError("another thread is publishing")
        try:
            families = self.own(fresh=fresh)
            self._crowded = any(len(family.keys) >= _MANY for family in families)
            self.workers.publish(families)
        finally:
            self._lock.release()

    def collect(self) -> Sequence[MetricFamily]:
        """Every family of the service at this instant, by name. Raises where the totals cannot be known."""
        try:
            self.publish()
        except NoRoomError:
            # Counted and said each second by who publishes in the background; what is shown is right.
            pass
        except (OSError, BoardError):
            workers = self.workers
            if isinstance(workers, Alone) or workers.joined or not workers.unreachable():
                raise
            # Nobody else can be on it either: this process is the service.
            alone = Alone(service=workers.service)
            alone.publish(self.own())
            return alone.collect()
        families = self.workers.collect()
        self._registry.hold_to(families)
        return families

    def hold(self) -> None:
        """Let the bounds on series be those of the whole service also where nobody asks this worker for metrics."""
        now = time.monotonic()
        if isinstance(self.workers, Board) and (self._crowded or now - self._held > _LOOK):
            self._held = now
            self._registry.hold_to(self.workers.collect())

    def after_fork_in_child(self) -> None:
        self._lock = threading.RLock()
        self._registry.reset(gauges=self.workers.joined)
        self._status.after_fork_in_child()
        self.workers.after_fork_in_child()


def workers_of(
    file: Path | None, service: str, board: str | os.PathLike[str] | None, on_conflict: Callable[[str], None]
) -> Board | Alone:
    """Where this worker meets the others: in the folder `board`, or beside the storage's file."""
    if board is None and file is not None:
        board = file.with_name(f"{file.name}-live")
    # There is no flock on Windows: one process for each database.
    if board is None or sys.platform == "win32":
        return Alone(service=service)
    # Absolute, since a host may change its folder later.
    return Board(Path(board).absolute(), service=service, on_conflict=on_conflict)
