"""The queue between those who log and the one who writes: bounded, and under a GIL without a lock.

One deque for each severity. Popping is the token: whoever got an entry counts it, so nothing is
counted twice. `+=` has nothing to call on its right side, which is exact under a GIL.
"""

from collections import deque
from itertools import count
from typing import Any, Final

from ._exact import exact, new_lock
from ._levels import LEVELS
from ._records import LogEntry

# Number of arrival, bytes of memory, and the fields of an entry in their order; without attributes None.
Item = tuple[int, int, float, str, str, dict[str, Any] | None, str, str, str]
REASONS: Final = ("queue_full", "stopped", "error", "recursion", "own")
_EVICT: Final = 64
# What an entry takes beside its text and its attributes: a tuple, its place, numbers and the text's own head.
OVERHEAD: Final = 300


class LogQueue:
    """At most `max_entries` entries and `max_bytes` bytes of them; over that the lowest severities go first.

    Bytes are what Python takes at most, numbers and containers too. `accepted` counts what was ever queued.
    """

    def __init__(self, *, max_entries: int = 100_000, max_bytes: int = 64_000_000) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.clear()

    def clear(self) -> None:
        """Forget all, the counts too: as a forked child does, whose parent still has them."""
        self._lock = new_lock()
        self._number = count().__next__
        self._queues = {level: deque[Item]() for level in LEVELS}
        self.entries = 0
        self.size = 0
        self.accepted = 0
        self._full = dict.fromkeys(LEVELS, 0)
        self._refused = dict.fromkeys(REASONS[1:], 0)

    @exact
    def put(
        self,
        size: int,
        timestamp: float,
        level: str,
        message: str,
        attributes: dict[str, Any] | None = None,
        logger: str = "",
        trace_id: str = "",
        span_id: str = "",
    ) -> bool:
        """Queue an entry that takes `size` bytes and `OVERHEAD`; False where it was dropped instead. Never waits."""
        size += OVERHEAD
        if (self.entries >= self.max_entries or self.size + size > self.max_bytes) and not self._room(
            level, size
        ):
            self._full[level] += 1
            return False
        self._queues[level].append(
            (self._number(), size, timestamp, level, message, attributes, logger, trace_id, span_id)
        )
        self.entries += 1
        self.size += size
        self.accepted += 1
        return True

    @exact
    def refuse(self, reason: str = "stopped") -> None:
        """Count an entry that was not even offered, by one of `REASONS`."""
        self._refused[reason] += 1

    @exact
    def drain(self, limit: int) -> list[LogEntry]:
        """Take up to `limit` entries out, in the order of their arrival. One caller at a time."""
        items: list[Item] = []
        for queue in self._queues.values():
            for _ in range(min(len(queue), limit)):
                try:
                    items.append(queue.popleft())
                except IndexError:  # a thread that needed room was faster
                    break
        items.sort(key=_arrival)
        self._put_back(items[limit:])
        taken = items[:limit]
        number, size = len(taken), sum(item[1] for item in taken)
        self.entries -= number
        self.size -= size
        return list(map(_entry, taken))

    def dropped(self) -> dict[str, int]:
        """How many were dropped since the start, by reason."""
        return {"queue_full": sum(self._full.values()), **self._refused}

    def dropped_levels(self) -> dict[str, int]:
        """How many were dropped for want of room, by level."""
        return self._full.copy()

    def __len__(self) -> int:
        # Not `entries`, which is counted a step after an entry is there to be taken.
        return sum(map(len, self._queues.values()))

    def _put_back(self, items: list[Item]) -> None:
        for item in reversed(items):
            self._queues[item[3]].appendleft(item)

    def _room(self, level: str, size: int) -> bool:
        """Drop the lowest severities below `level`, some at a time, until there is room."""
        while self.entries >= self.max_entries or self.size + size > self.max_bytes:
            if not self._evict(level):
                return False
        return True

    def _evict(self, level: str) -> bool:
        for lower, queue in self._queues.items():
            if lower == level:
                return False
            if not queue:
                continue
            for _ in range(_EVICT):
                try:
                    item = queue.popleft()
                except IndexError:
                    break
                freed = item[1]
                self.entries -= 1
                self.size -= freed
                self._full[lower] += 1
            return True
        return False


def _arrival(item: Item) -> int:
    return item[0]


def _entry(item: Item) -> LogEntry:
    _, _, timestamp, level, message, attributes, logger, trace_id, span_id = item
    return LogEntry(timestamp, level, message, attributes or {}, logger, trace_id, span_id)
