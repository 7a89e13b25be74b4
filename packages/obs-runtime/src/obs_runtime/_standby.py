"""The storage of a runtime, and memory in its place while it cannot be opened."""

import asyncio
from contextlib import suppress
from time import monotonic, sleep
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import obs_core.checks  # noqa: F401  # memory needs it at its first write, when perhaps no file can be read
from obs_core import (
    LEVELS,
    LogEntry,
    LogHandler,
    LogStoragePort,
    MemoryStorage,
    MetricMetadata,
    MetricSample,
    MetricsStoragePort,
    Storage,
    StorageError,
)

from ._backoff import BackOff
from ._status import PATIENCE, Status, say

if TYPE_CHECKING:
    from pathlib import Path

Kept = tuple[list[LogEntry], list[MetricSample], list[MetricMetadata]]
OPENING: Final = "open the storage"
_SAMPLES: Final = 50_000
# Short troubles are over soon; somebody else's file is not looked at more than once a minute.
_BACK_OFF: Final = (1.0, 2.0, 5.0, 10.0, 60.0)
# Once memory stands in, an opening that takes longer goes on beside the writing.
_SHORT: Final = 1.0
_LOOK: Final = 0.02
# An upgrade may take so long. Nobody can tell its changes from those of others who write meanwhile.
_UPGRADE: Final = 600.0
_OVERHEAD: Final = 300


class Standby:
    """The storage that was given; while it does not open, memory within the bounds of the queue stands in for it.

    Only the background opens and closes it. What memory had to forget is counted as dropped for want of storage.
    """

    def __init__(self, storage: Storage, handler: LogHandler, status: Status, *, strict: bool) -> None:
        self.given: Final = storage
        self.strict: Final = strict
        self._bounds: Final = handler.queue
        self._status: Final = status
        status.include(storage)
        self._opening: asyncio.Task[None] | None = None
        self._entries = self._size = 0
        self._back_off = BackOff(*_BACK_OFF)
        self.after_fork_in_child()

    @property
    def logs(self) -> LogStoragePort:
        return self.now.logs

    @property
    def metrics(self) -> MetricsStoragePort:
        return self.now.metrics

    @property
    def path(self) -> "Path | None":
        return self.given.path

    @property
    def is_opening(self) -> bool:
        """Whether the storage is about to open, which may take for ever; any thread may ask."""
        opening = self._opening
        return opening is not None and not opening.done()

    async def size(self) -> int:
        return await self.now.size()

    async def __aenter__(self) -> Self:
        await self.given.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.given.__aexit__(kind, error, traceback)

    def __repr__(self) -> str:
        return f"{type(self.given).__name__}({str(self.path)!r})" if self.path else repr(self.given)

    async def open(self, now: float, *, asked: bool) -> Kept | None:
        """Have the storage open, or memory in its place; what memory held, once, when the storage has opened.

        A failure is tried again when its time has come, or somebody `asked`.
        """
        opening = self._opening
        if opening is None:
            if self._back_off.is_early(now) and not asked:
                return None
            with self._status.waiting():
                self._opening = opening = asyncio.create_task(self._open())
                await asyncio.wait([opening], timeout=_SHORT if self.in_memory else PATIENCE)
        if not opening.done():
            await self._stand_in(StorageError(f"{self!r} does not open: it is still waited for"))
            return None
        self._opening = None
        if (error := opening.exception()) is not None:
            self._back_off.failed(now)
            await self._stand_in(error)
            return None
        return self._opened()

    async def make_room(self, entries: int, size: int) -> None:
        """In memory, for what is about to come: the lowest severities go first, of each the oldest."""
        if not self.in_memory:
            return
        self._entries += entries
        self._size += size
        if self._entries > self._bounds.max_entries or self._size > self._bounds.max_bytes:
            self._status.forgotten.inc(await self._forget(entries, size))
            self._entries, self._size = await self._held(entries, size)

    async def give_up(self) -> int:
        """Forget what memory holds; how many entries that were."""
        if not self.in_memory:
            return 0
        entries, *_ = self._memory.hand_over()
        await self._memory.__aenter__()
        self._entries = self._size = 0
        return len(entries)

    def wait_while_opening(self, seconds: float) -> bool:
        """For another thread: whether the opening came to an end, before nothing had moved for so long.

        One that upgrades the file, which may take minutes, changes it or its journal all the while; as others may who
        write to it, so 10 minutes are enough in any case.
        """
        signs, deadline, end = self._signs(), monotonic() + seconds, monotonic() + _UPGRADE
        while self.is_opening and monotonic() < min(deadline, end):
            sleep(_LOOK)
            if (seen := self._signs()) != signs:
                signs, deadline = seen, monotonic() + seconds
        return not self.is_opening

    async def opened(self, seconds: float) -> bool:
        """Whether an opening that nobody has looked at yet has come to an end; waits at most so long."""
        if self._opening is None:
            return False
        done, _ = await asyncio.wait([self._opening], timeout=max(seconds, 0.0))
        return bool(done)

    async def close(self) -> None:
        """Let go of the storage, also of one that is still about to open.

        What memory holds stays for the next opening: after a fork; at the end it was given up before.
        """
        if self._opening is not None:
            await asyncio.wait([self._opening])
            self.is_open = self._opening.exception() is None
            self._opening = None
        if self.is_open:
            self.is_open = False
            await self.given.__aexit__(None, None, None)

    def after_fork_in_child(self) -> None:
        """What is open, and what memory holds, is the parent's."""
        self.now: Storage = self.given
        self.is_open = self.in_memory = False
        self.error: BaseException | None = None
        self._memory = MemoryStorage(max_entries=2 * self._bounds.max_entries, max_samples=_SAMPLES)
        self._entries = self._size = 0
        self._opening = None
        self._back_off.succeeded()
        self._status.in_memory = False

    def _signs(self) -> list[int]:
        if self.path is None:
            return []
        files = self.path, self.path.with_name(f"{self.path.name}-wal")
        return [_changed(file) for file in files]

    async def _open(self) -> None:
        await self.given.__aenter__()

    async def _stand_in(self, error: BaseException) -> None:
        known, self.error = self.error, error
        if self.in_memory and str(error) != str(known):
            self._status.report(OPENING, error)
            return
        self._status.count(OPENING)
        if not self.in_memory:
            await self._memory.__aenter__()
            self.now, self.in_memory, self._status.in_memory = self._memory, True, True
            # In any case, whatever else was said within the last minute.
            say(f"{OPENING}: {error}" + ("" if self.strict else "; logs are kept in memory until then"))

    def _opened(self) -> Kept | None:
        was_in_memory, self.in_memory = self.in_memory, False
        self.is_open, self.error, self.now, self._status.in_memory = True, None, self.given, False
        self._back_off.succeeded()
        if not was_in_memory:
            return None
        self._entries = self._size = 0
        return self._memory.hand_over()

    async def _forget(self, entries: int, size: int) -> int:
        """Make more room than is needed, so that it is not done at each write; how many entries went."""
        gone, logs = 0, self._memory.logs
        for level in LEVELS:
            held, held_size = await self._held(entries, size)
            too_many = held - self._bounds.max_entries * 3 // 4
            too_much = held_size - self._bounds.max_bytes * 3 // 4
            if too_many > 0:
                left = await logs.count(level=level) - too_many
                gone += await logs.keep_newest(max(left, 0), level=level)
            if too_much > 0:
                gone += await logs.shrink(max(await logs.size(level=level) - too_much, 0), level=level)
        return gone

    async def _held(self, entries: int, size: int) -> tuple[int, int]:
        """Entries and bytes with those that come, as the queue counts them."""
        count = await self._memory.logs.count()
        return count + entries, await self._memory.logs.size() + count * _OVERHEAD + size


def _changed(file: "Path") -> int:
    """When; 0 for one that is not there, as a journal that somebody removes just now."""
    with suppress(OSError):
        return file.stat().st_mtime_ns
    return 0


if TYPE_CHECKING:
    _: type[Storage] = Standby
