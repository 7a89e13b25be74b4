"""The ring: encoded records of all tables in the order of storing, within one bound on their bytes."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from threading import Lock
from typing import Final

from ._chunk import CHUNK, Chunk, Page, Row, Verdict

NEVER: Final = 2**62
_Tally = dict[str, list[int]]


class Table:
    """The rows of one kind, in chunks; how many there are and how large they are is known by mark."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.forgotten = 0
        self._tally: _Tally = {}

    @property
    def first(self) -> int:
        """The number of the oldest row; a large one where there is none."""
        return self.chunks[0].first if self.chunks else NEVER

    def append(self, number: int, row: Row) -> None:
        if not self.chunks or self.chunks[-1].full:
            self.chunks.append(Chunk())
        self.chunks[-1].append(number, row)
        self._count(row, 1)

    def forget_first(self) -> int:
        """Forget the oldest row; its size."""
        chunk = self.chunks[0]
        row = chunk.pop_first()
        if not chunk:
            del self.chunks[0]
        self.forgotten += 1
        return self._count(row, -1)

    def page(self, after: int, before: int, *, newest_first: bool) -> Page:
        """Some of the rows between these numbers (exclusive), from the one end; empty where there are none."""
        chunks = self.chunks
        if newest_first:
            place = bisect_left(chunks, before, key=lambda chunk: chunk.first) - 1
        else:
            place = bisect_right(chunks, after, key=lambda chunk: chunk.last)
        if not 0 <= place < len(chunks):
            return Page([], [])
        return chunks[place].page(after, before, newest_first=newest_first)

    def sweep(self, after: int, verdict: Verdict) -> tuple[int, int, int]:
        """Go through the next chunk: where it ended (a large number at the end), how many went, and their size."""
        place = bisect_right(self.chunks, after, key=lambda chunk: chunk.last)
        if place == len(self.chunks):
            return NEVER, 0, 0
        chunk = self.chunks[place]
        last = chunk.last
        doomed, ended = chunk.sweep(verdict)
        size = sum(self._count(row, -1) for row in doomed)
        if doomed:
            self._close_up(place)
        return (NEVER if ended else last), len(doomed), size

    def count(self, mark: str | None) -> int:
        return self._total(mark, 0)

    def size(self, mark: str | None) -> int:
        return self._total(mark, 1)

    def _total(self, mark: str | None, place: int) -> int:
        if mark is not None:
            return self._tally.get(mark, (0, 0))[place]
        return sum(pair[place] for pair in self._tally.values())

    def _count(self, row: Row, sign: int) -> int:
        size = row.size
        pair = self._tally.setdefault(row.mark, [0, 0])
        pair[0] += sign
        pair[1] += sign * size
        return size

    def _close_up(self, place: int) -> None:
        """Many chunks of a few rows would cost more than the rows."""
        chunks = self.chunks
        if not chunks[place]:
            del chunks[place]
        elif place and len(chunks[place - 1]) + len(chunks[place]) <= CHUNK:
            chunks[place - 1].extend(chunks.pop(place))


class Ring:
    """Rows by a number that only grows; over `max_bytes` the oldest of any table go.

    The lock is held for one batch or one chunk: whoever reads or deletes much does not keep writers waiting.
    """

    def __init__(self, max_bytes: int, *tables: str) -> None:
        self.max_bytes = max_bytes
        self._tables = {name: Table() for name in tables}
        self._bytes = 0
        self._reserved = 0
        self._next = 1
        self._lock = Lock()

    @property
    def forgotten(self) -> dict[str, int]:
        """How many rows of each table went for want of room."""
        return {name: table.forgotten for name, table in self._tables.items()}

    def append(self, name: str, rows: Sequence[Row], *, reserved: int = 0) -> bool:
        """Store all rows, or none where they can never fit; `reserved` more bytes are then held for good."""
        size = sum(row.size for row in rows)
        table = self._tables[name]
        with self._lock:
            if size + self._reserved + reserved > self.max_bytes:
                return False
            self._reserved += reserved
            for row in rows:
                table.append(self._next, row)
                self._next += 1
            self._bytes += size
            while self._bytes + self._reserved > self.max_bytes:
                oldest = min(self._tables.values(), key=lambda table: table.first)
                self._bytes -= oldest.forget_first()
        return True

    @property
    def next(self) -> int:
        """The number that the next row gets."""
        return self._next

    def page(self, name: str, after: int, before: int, *, newest_first: bool = False) -> Page:
        """Some of the rows between these numbers, both exclusive; the records are shared, not copied."""
        with self._lock:
            return self._tables[name].page(after, before, newest_first=newest_first)

    def sweep(self, name: str, after: int, verdict: Verdict) -> tuple[int, int]:
        """Take doomed rows out of one more chunk: where to go on (`NEVER` at the end), and how many went."""
        with self._lock:
            place, number, size = self._tables[name].sweep(after, verdict)
            self._bytes -= size
            return place, number

    def count(self, name: str, mark: str | None = None) -> int:
        with self._lock:
            return self._tables[name].count(mark)

    def size(self, name: str, mark: str | None = None) -> int:
        with self._lock:
            return self._tables[name].size(mark)
