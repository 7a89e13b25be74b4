"""What the background does, apart from the thread and its waiting; nothing of it raises."""

import logging
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from obs_core import LogHandler, Storage
from obs_core.servers import release_servers

from ._background import Work
from ._board.alone import Alone
from ._board.board import Board
from ._board.run import own_run
from ._console import put_on, take_off
from ._metrics import Metrics
from ._status import Status
from ._steps import Steps
from ._stopping import Stopping

_BUSY: Final = 0.5


class RuntimeWork:
    """One runtime's work: the storage's, the board's, and what keeps it in its place in the host."""

    def __init__(
        self,
        storage: Storage,
        handler: LogHandler,
        metrics: Metrics,
        status: Status,
        steps: Steps,
        log_level: str,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self.stopping = Stopping(status.report)
        self._storage = storage
        self._handler = handler
        self._metrics = metrics
        self._status = status
        self._steps = steps
        self._log_level = log_level
        self._clock, self._monotonic = clock, monotonic
        self._opened = False
        self._said = False

    async def write(self, *, urgent: bool, enough: Callable[[], bool]) -> bool:
        """One pass over the queue. What could not be opened is tried again."""
        try:
            now = self._monotonic()
            if not self._opened and not await self._open(now, urgent=urgent):
                return False
            return await self._steps.flush.tick(now, urgent=urgent, enough=enough)
        except Exception as error:  # what nobody thought of never kills the loop
            self._status.report("write logs", error)
            return False

    async def keep(self) -> None:
        """One pass of what one worker does for all, if it is this one."""
        if not self._opened or not self._holds_lease():
            return
        now, wall = self._monotonic(), self._clock()
        steps = self._steps
        for name, step in (
            ("history", steps.history),
            ("retention", steps.retention),
            ("maintenance", steps.maintenance),
        ):
            try:
                await step.tick(now, wall)
            except Exception as error:  # a failing step never kills the loop
                self._status.report(name, error)
                self._let_go()

    async def close(self) -> None:
        """Close the storage, and let another worker keep it."""
        self._let_go()
        if self._opened:
            self._opened = False
            try:
                await self._storage.__aexit__(None, None, None)
            except Exception as error:  # the host stops in any case
                self._status.report("close the storage", error)

    def publish(self) -> None:
        """Show this worker's values, unless the host stands still inside a publication of its own."""
        try:
            self._metrics.publish(_BUSY)
        except Exception as error:  # what was shown before stands
            self._status.report("publish", error)

    def look_round(self) -> None:
        """What is done each second."""
        self.publish()
        try:
            self._say_if_alone()
            self.capture()
            self._status.attribute_drops()
            self._metrics.hold()
            workers = self._metrics.workers
            if isinstance(workers, Board) and self._holds_lease():
                workers.fold()
        except Exception as error:  # it is tried again, and until then the dead are counted as they are
            self._status.report("fold", error)

    def _say_if_alone(self) -> None:
        """One line, where a server has workers that do not know of each other."""
        if not self._said and isinstance(self._metrics.workers, Alone) and own_run() is not None:
            sys.stderr.write(
                "obs: metrics are those of this process alone: for all workers, give EmbeddedRuntime a board= folder\n"
            )
        self._said = True

    def capture(self) -> None:
        """Be on the root logger, also after a dictConfig; its level is set only where nobody has set one."""
        root = logging.getLogger()
        if self._handler.closed or self._handler in root.handlers:
            return
        if root.level == logging.WARNING and not root.handlers:
            root.setLevel(self._log_level)
        put_on(root, self._handler)

    def release(self) -> None:
        """Be on no logger any more."""
        take_off(logging.getLogger(), self._handler)
        release_servers(self._handler)

    def silence(self) -> AbstractContextManager[None]:
        """What is logged inside is ours or our driver's: it must not be written by what it tells of."""
        return self._handler.silence()

    def begin_to_stop(self) -> None:
        self.stopping.begin()

    def go_on(self) -> None:
        self.stopping.again()

    def after_fork_in_child(self) -> None:
        """What is open is the parent's, and so are the streams."""
        self._opened = False
        self.stopping.forget()
        self._steps.flush.forget()

    async def _open(self, now: float, *, urgent: bool) -> bool:
        if self._steps.flush.backs_off(now) and not urgent:
            return False
        try:
            await self._storage.__aenter__()
        except Exception as error:  # the host starts in any case
            self._steps.flush.failed(now)
            self._status.degraded.set(1)
            self._status.report("open the storage", error)
            return False
        self._opened = True
        self._status.degraded.set(0)
        return True

    def _holds_lease(self) -> bool:
        workers = self._metrics.workers
        if not isinstance(workers, Board):
            return True
        try:
            return workers.joined and workers.lease.hold()
        except OSError as error:
            self._status.report("lease", error)
            return False

    def _let_go(self) -> None:
        if isinstance(self._metrics.workers, Board):
            self._metrics.workers.lease.let_go()


if TYPE_CHECKING:
    _: type[Work] = RuntimeWork
