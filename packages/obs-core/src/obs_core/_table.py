"""Records in plain memory, by a number that only grows."""

from collections.abc import Callable, Sequence
from itertools import islice
from threading import Lock
from typing import Final, Generic, TypeVar

import msgspec

from ._errors import StorageClosedError
from ._records import LogEntry, MetricSample

_encode: Final = msgspec.msgpack.Encoder().encode

R = TypeVar("R", LogEntry, MetricSample)


class Table(Generic[R]):
    """Records by a number that only grows; over `max_rows` the oldest go first."""

    def __init__(self, check: Callable[[Sequence[R]], None], max_rows: int) -> None:
        self.opened = False
        self._check_all: Callable[[Sequence[R]], None] = check
        self._max_rows = max_rows
        self._rows: dict[int, R] = {}
        self._next = 1
        self._lock = Lock()

    def append(self, records: Sequence[R]) -> None:
        self.check()
        self._check_all(records)
        check_encoding(records)
        with self._lock:
            for record in records:
                self._rows[self._next] = record
                self._next += 1
            for number in list(islice(self._rows, max(len(self._rows) - self._max_rows, 0))):
                del self._rows[number]

    def rows(self) -> list[tuple[int, R]]:
        """All rows at this instant, in the order of storing."""
        self.check()
        with self._lock:
            return list(self._rows.items())

    def delete(self, doomed: Callable[[R], bool]) -> int:
        numbers = [number for number, record in self.rows() if doomed(record)]
        return self.remove(numbers)

    def remove(self, numbers: Sequence[int]) -> int:
        with self._lock:
            return sum(self._rows.pop(number, None) is not None for number in numbers)

    def keep_newest(self, count: int, counted: Callable[[R], bool]) -> int:
        numbers = [number for number, record in self.rows() if counted(record)]
        return self.remove(numbers[: max(len(numbers) - count, 0)])

    def shrink(self, max_bytes: int, counted: Callable[[R], bool]) -> int:
        sizes = [(number, len(_encode(record))) for number, record in self.rows() if counted(record)]
        left = sum(size for _, size in sizes)
        doomed = []
        for number, size in sizes:
            if left <= max_bytes:
                break
            doomed.append(number)
            left -= size
        return self.remove(doomed)

    def size(self, counted: Callable[[R], bool]) -> int:
        return sum(len(_encode(record)) for _, record in self.rows() if counted(record))

    def count(self, counted: Callable[[R], bool]) -> int:
        return sum(counted(record) for _, record in self.rows())

    def check(self) -> None:
        if not self.opened:
            raise StorageClosedError("MemoryStorage")


def check_encoding(records: Sequence[object]) -> None:
    """Raise `TypeError` for what the storages that encode could not hold, so that tests find it here too."""
    try:
        _encode(records)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{error}: nothing of the batch was stored") from error
