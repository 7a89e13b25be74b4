"""The queue between those who log and the one who writes: bounded, and without a lock.

One deque for each severity. Popping is the token: whoever got an entry counts it, so nothing is
counted twice. `+=` has nothing to call on its right side, which is exact under a GIL.
"""

from collections import deque
from itertools import count
from typing import Final

from ._levels import LEVELS
from ._records import LogEntry

Item = tuple[int, int, LogEntry]  # number of arrival, bytes, entry
_EVICT: Final = 64
# What an entry costs beside its text: the record, its tuple, its place, an empty dictionary.
OVERHEAD: Final = 400


class LogQueue:
    """At most `max_entries` entries and `max_bytes` bytes of them; over that the lowest severities go first."""

    def __init__(self, *, max_entries: int = 100_000, max_bytes: int = 64_000_000) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.clear()

    def clear(self) -> None:
        """Forget all, the counts of drops too: as a forked child does, whose parent still has them."""
        self._number = count().__next__
        self._queues = {level: deque[Item]() for level in LEVELS}
        self.entries = 0
        self.size = 0
        self._full = {level: _Tally() for level in LEVELS}
        self._stopped = _Tally()

    def put(self, entry: LogEntry, size: int) -> bool:
        """Queue an entry of about `size` bytes of text; False where it was dropped instead. Never waits."""
        size = size + OVERHEAD
        if (self.entries >= self.max_entries or self.size + size > self.max_bytes) and not self._room(
            entry.level, size
        ):
            self._full[entry.level].add()
            return False
        self._queues[entry.level].append((self._number(), size, entry))
        self.entries += 1
        self.size += size
        return True

    def refuse(self) -> None:
        """Count an entry that came after the end."""
        self._stopped.add()

    def drain(self, limit: int) -> list[LogEntry]:
        """Take up to about `limit` entries out, in the order of their arrival. One caller at a time."""
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
        return [item[2] for item in taken]

    def dropped(self) -> dict[str, int]:
        """How many were dropped since the start, by reason."""
        return {
            "queue_full": sum(tally.total for tally in self._full.values()),
            "stopped": self._stopped.total,
        }

    def dropped_levels(self) -> dict[str, int]:
        """How many were dropped for want of room, by level."""
        return {level: tally.total for level, tally in self._full.items()}

    def __len__(self) -> int:
        return self.entries

    def _put_back(self, items: list[Item]) -> None:
        for item in reversed(items):
            self._queues[item[2].level].appendleft(item)

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
                self._full[lower].add()
            return True
        return False


class _Tally:
    """Counts without a lock: `count().__next__` is one step in C."""

    __slots__ = ("_next", "_read")

    def __init__(self) -> None:
        self._next = count().__next__
        self._read = 0

    def add(self) -> None:
        self._next()

    @property
    def total(self) -> int:
        # Reading counts too, so the readings are taken off again. One reader at a time.
        total = self._next() - self._read
        self._read += 1
        return total


def _arrival(item: Item) -> int:
    return item[0]
