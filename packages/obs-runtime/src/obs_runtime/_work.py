"""What the background does, apart from the thread and its waiting; nothing of it raises."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from obs_core import LogHandler
from obs_core.servers import kept_apart, release_servers

from ._background import Work
from ._board.alone import Alone
from ._board.board import Board
from ._board.run import own_run
from ._console import put_on, take_off
from ._metrics import Metrics
from ._options import Options
from ._retention import Retention
from ._standby import Standby
from ._status import Status, say
from ._steps import Flush, History, Maintenance
from ._stopping import Stopping

_BUSY: Final = 0.5
# Who configures logging anew has done so by then.
_CONFIGURING: Final = 0.5
# How Python refuses a thread once the interpreter ends: our last write comes after that, and no step of keeping.
_AT_THE_END: Final = "after interpreter shutdown"


class Step(Protocol):
    async def tick(self, now: float, wall: float) -> None: ...


class RuntimeWork:
    """One runtime's work: the storage's, the board's, and what keeps it in its place in the host."""

    def __init__(
        self, options: Options, standby: Standby, handler: LogHandler, metrics: Metrics, status: Status
    ) -> None:
        self.stopping = Stopping(status.report)
        self._options = options
        self._standby = standby
        self._handler = handler
        self._metrics = metrics
        self._status = status
        # Not the runtime's own method: the thread must not keep a runtime that nobody has any more.
        self._history = History(standby, metrics.collect, options.history_interval)
        self._flush = Flush(standby, handler, status)
        self._retention = Retention(standby.given, options.log_retention, options.metrics_retention, status)
        self._maintenance = Maintenance(standby.given)
        self._said = False
        self._taken_off = float("-inf")

    @property
    def is_opening(self) -> bool:
        """Whether the storage is about to open, which may take for ever."""
        return self._standby.is_opening

    async def write(self, *, asked: bool, enough: Callable[[], bool]) -> bool:
        """One pass over the queue, into memory where the storage does not open."""
        try:
            self.capture()
            now = self._options.monotonic()
            if not self._standby.is_open and not await self._open(now, asked=asked):
                return False
            done = await self._flush.tick(now, asked=asked, enough=enough)
        except Exception as error:  # what nobody thought of never kills the loop
            self._status.report("write logs", error)
            return False
        return done and self._standby.is_open

    async def opened(self, seconds: float) -> bool:
        """Whether the storage, where it was about to open, has done so, or failed; waits at most so long."""
        return await self._standby.opened(seconds)

    async def give_up(self) -> None:
        """The end has come: what no storage has taken is lost, counted and said."""
        try:
            lost = self._flush.give_up() + await self._standby.give_up()
            if lost:
                self._status.forgotten.inc(lost)
                why = f": {self._standby.error}" if self._standby.error else ""
                say(f"{lost} log entries are lost at the end: {self._standby!r} did not take them{why}")
        except Exception as error:  # the host ends in any case
            self._status.report("write logs", error)

    async def keep(self) -> None:
        """One pass of what one worker does for all, if it is this one."""
        if not (self._standby.is_open or self._standby.in_memory) or not self._has_lease():
            return
        now, wall = self._options.monotonic(), self._options.clock()
        steps: list[tuple[str, Step]] = [("history", self._history)]
        if self._standby.is_open:
            steps += [("retention", self._retention), ("maintenance", self._maintenance)]
        for name, step in steps:
            try:
                await step.tick(now, wall)
            except Exception as error:  # a failing step never kills the loop
                self._let_go()
                if str(error).endswith(_AT_THE_END):
                    return
                self._status.report(name, error)

    async def close(self) -> None:
        """Close the storage, and let another worker keep it."""
        self._let_go()
        try:
            await self._standby.close()
        except Exception as error:  # the host stops in any case
            self._status.report("close the storage", error)

    def publish(self, *, fresh: bool = True) -> None:
        """Show this worker's values, unless the host stands still inside a publication of its own."""
        try:
            self._metrics.publish(_BUSY, fresh=fresh)
        except Exception as error:  # what was shown before stands
            self._status.report("show metrics to the other workers", error)

    def look_round(self) -> None:
        """What is done each second."""
        self.publish(fresh=False)
        try:
            self._say_what_is_not_seen()
            self.capture()
            self._status.attribute_drops()
            self._metrics.hold()
            workers = self._metrics.workers
            if isinstance(workers, Board) and self._holds_lease():
                workers.fold()
        except Exception as error:  # it is tried again, and until then the dead are counted as they are
            self._status.report("take over dead workers", error)

    def _say_what_is_not_seen(self) -> None:
        """Once: a server's workers that do not know of each other, and loggers that keep to themselves."""
        if self._said:
            return
        self._said = True
        kept = kept_apart(self._handler)
        if kept:
            self.announce(
                f"not in /logs, since they do not propagate: {', '.join(kept)}; add runtime.handler to each"
            )
        if isinstance(self._metrics.workers, Alone) and own_run() is not None:
            say(
                "metrics are those of this process alone: for all workers, give EmbeddedRuntime a board= folder"
            )

    def announce(self, line: str) -> None:
        """Say what every worker of this server would say."""
        if self._metrics.workers.announces(line):
            say(line)

    def capture(self) -> None:
        """Be on the root logger, also after a dictConfig; its level is set only where nobody has set one."""
        root = logging.getLogger()
        if self._is_stopped() or self._handler in root.handlers:
            return
        if root.level == logging.WARNING and not root.handlers:
            root.setLevel(self._options.log_level)
        put_on(root, self._handler)
        if self._is_stopped():  # meanwhile
            take_off(root, self._handler)

    def _is_stopped(self) -> bool:
        return self._handler.closed

    def taken_off(self) -> None:
        """Logging is being configured anew: for a moment it is looked again and again whether we are on the root."""
        self._taken_off = monotonic()

    @property
    def unsettled(self) -> bool:
        """Whether we may be off the root logger just now."""
        return monotonic() - self._taken_off < _CONFIGURING

    def end_capture(self) -> None:
        """Capture no more; what is logged from now on is counted as dropped."""
        self._handler.closed = True

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
        self._standby.after_fork_in_child()
        self.stopping.forget()
        self._flush.forget()

    async def _open(self, now: float, *, asked: bool) -> bool:
        """Whether there is something to write to. What memory held is written first when the storage opens."""
        held = await self._standby.open(now, asked=asked)
        if held is not None:
            entries, samples, metadata = held
            self._flush.write_first(entries)
            say(f"{self._standby!r} is open: {len(entries)} entries of memory go into it")
            try:
                await self._history.write_first(samples, metadata)
            except Exception as error:  # a gap in the history of metrics; logs are tried again
                self._status.report("history", error)
        return self._standby.is_open or self._standby.in_memory

    def _holds_lease(self) -> bool:
        workers = self._metrics.workers
        if not isinstance(workers, Board):
            return True
        try:
            return workers.joined and workers.lease.hold()
        except OSError as error:
            self._status.report("agree on who keeps the history", error)
            return False

    def _has_lease(self) -> bool:
        """As it was found when we looked round last, within a second: to ask again costs three calls of the system."""
        workers = self._metrics.workers
        return not isinstance(workers, Board) or (workers.joined and workers.lease.held)

    def _let_go(self) -> None:
        if isinstance(self._metrics.workers, Board):
            self._metrics.workers.lease.let_go()


if TYPE_CHECKING:
    _: type[Work] = RuntimeWork
