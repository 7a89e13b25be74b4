"""Some encoded records side by side: a part of a table small enough to be copied or gone through at once."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import NamedTuple

CHUNK = 256
# What a record costs beside its bytes: the bytes object, and its places in the columns.
OVERHEAD = 80
Verdict = Callable[[float, str, int], bool | None]


class Row(NamedTuple):
    """An encoded record; the time and the mark (its level) are what filters ask for without decoding it."""

    time: float
    mark: str
    record: bytes

    @property
    def size(self) -> int:
        return len(self.record) + OVERHEAD


class Page(NamedTuple):
    """Rows by their numbers, in the order that was asked."""

    numbers: list[int]
    rows: list[Row]


class Chunk:
    """Rows in the order of their numbers. Those before `start` are gone."""

    __slots__ = ("_marks", "_numbers", "_records", "_start", "_times")

    def __init__(self) -> None:
        self._start = 0
        self._numbers = array("q")
        self._times = array("d")
        self._marks: list[str] = []
        self._records: list[bytes] = []

    def __len__(self) -> int:
        return len(self._numbers) - self._start

    @property
    def first(self) -> int:
        return self._numbers[self._start]

    @property
    def last(self) -> int:
        return self._numbers[-1]

    @property
    def full(self) -> bool:
        return len(self._numbers) >= CHUNK

    def append(self, number: int, row: Row) -> None:
        self._numbers.append(number)
        self._times.append(row.time)
        self._marks.append(row.mark)
        self._records.append(row.record)

    def pop_first(self) -> Row:
        place = self._start
        row = self._row(place)
        self._records[place] = b""
        self._start += 1
        return row

    def page(self, after: int, before: int, *, newest_first: bool) -> Page:
        """The rows with numbers between these two, both exclusive."""
        begin = max(self._start, bisect_right(self._numbers, after))
        end = bisect_left(self._numbers, before, lo=begin)
        places = range(end - 1, begin - 1, -1) if newest_first else range(begin, end)
        return Page([self._numbers[place] for place in places], [self._row(place) for place in places])

    def sweep(self, verdict: Verdict) -> tuple[list[Row], bool]:
        """Take out the rows that the verdict dooms, in order, until it is None; and whether it was."""
        kept, doomed, ended = Chunk(), [], False
        for place in range(self._start, len(self._numbers)):
            row = self._row(place)
            said = None if ended else verdict(row.time, row.mark, row.size)
            ended = said is None
            if said:
                doomed.append(row)
            else:
                kept.append(self._numbers[place], row)
        if doomed:
            self._take_over(kept)
        return doomed, ended

    def extend(self, other: "Chunk") -> None:
        """Take in the rows of the chunk behind this one."""
        for place in range(other._start, len(other._numbers)):
            self.append(other._numbers[place], other._row(place))

    def _row(self, place: int) -> Row:
        return Row(self._times[place], self._marks[place], self._records[place])

    def _take_over(self, other: "Chunk") -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(other, name))
