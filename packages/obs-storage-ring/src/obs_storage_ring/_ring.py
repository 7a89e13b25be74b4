"""The ring: encoded records in the order of storing, within one bound for all tables."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final, NamedTuple

# What a record costs beside its bytes: the bytes object, its row, its place in the dictionary.
OVERHEAD: Final = 500


class Row(NamedTuple):
    """An encoded record; `mark` is what deletions ask for without decoding: the time and the level."""

    table: str
    timestamp: float
    mark: str
    record: bytes

    @property
    def size(self) -> int:
        return len(self.record) + OVERHEAD


class Ring:
    """Rows by a number that only grows; over `max_bytes` the oldest of any table go."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.forgotten = {"logs": 0, "metrics": 0}
        self._rows: OrderedDict[int, Row] = OrderedDict()
        self._bytes = 0
        self._next = 1
        self._lock = Lock()

    def append(self, rows: Sequence[Row]) -> None:
        """Store rows; the caller saw to it that they fit."""
        with self._lock:
            for row in rows:
                self._rows[self._next] = row
                self._next += 1
                self._bytes += row.size
            while self._bytes > self.max_bytes:
                _, row = self._rows.popitem(last=False)
                self._bytes -= row.size
                self.forgotten[row.table] += 1

    def rows(self, table: str) -> list[tuple[int, Row]]:
        """The rows of a table at this instant, in the order of storing; the records are shared, not copied."""
        with self._lock:
            return [(number, row) for number, row in self._rows.items() if row.table == table]

    def remove(self, numbers: Sequence[int]) -> int:
        """Remove rows; how many there were."""
        with self._lock:
            removed = [row for number in numbers if (row := self._rows.pop(number, None)) is not None]
            self._bytes -= sum(row.size for row in removed)
            return len(removed)

    def delete_before(self, table: str, timestamp: float, mark: str | None) -> int:
        return self.remove([n for n, row in self.chosen(table, mark) if row.timestamp < timestamp])

    def keep_newest(self, table: str, count: int, mark: str | None) -> int:
        chosen = self.chosen(table, mark)
        return self.remove([number for number, _ in chosen[: max(len(chosen) - count, 0)]])

    def shrink(self, table: str, max_bytes: int, mark: str | None) -> int:
        chosen = self.chosen(table, mark)
        left = sum(row.size for _, row in chosen)
        doomed = []
        for number, row in chosen:
            if left <= max_bytes:
                break
            doomed.append(number)
            left -= row.size
        return self.remove(doomed)

    def measure(self, table: str, mark: str | None, of: Callable[[Row], int]) -> int:
        return sum(of(row) for _, row in self.chosen(table, mark))

    def chosen(self, table: str, mark: str | None) -> list[tuple[int, Row]]:
        return [one for one in self.rows(table) if mark is None or one[1].mark == mark]
