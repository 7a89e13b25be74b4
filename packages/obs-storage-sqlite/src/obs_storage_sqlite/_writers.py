"""Who wrote what: cursors are given inside the write transaction, and a batch that comes again is not stored twice.

A row of `head` names its batches; when it leaves, the numbers of each process go into `writers`, as ranges, with the
highest cursor. So a flush writes its own row and nothing else.

A retry is found within a day, in the process that wrote first, while that has fewer than 1,000 gaps in its numbers (a
gap is a batch that was refused and never came again) and the batches that failed take less than 8 MB, encoded.
"""

import os
import secrets
import sqlite3
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Final, NamedTuple

from ._columns import array_of, bytes_of
from ._flushes import MAX_ENTRIES
from ._headers import CREDIBLE, POSSIBLE

Range = tuple[int, int]
_RANGES: Final = 1000
_FAILED: Final = 8_000_000
# What stands before ranges: no number is 0, and an earlier file has plain numbers.
_MARK: Final = 0
_DAY: Final = 86_400.0
_NAME: Final = 8


class Batch:
    """The identity of a batch. `again` where it may be stored already: only then it is looked for."""

    def __init__(self, incarnation: str, number: int) -> None:
        self.incarnation = incarnation
        self.number = number
        self.again = False


class Failed(NamedTuple):
    """A batch of which nobody knows whether it was stored. The records are kept, so that their id is theirs alone."""

    records: Sequence[object]
    checksum: int
    size: int
    batch: Batch


class Batches:
    """Numbers the batches of one process. One that failed, perhaps after it was stored, keeps its number."""

    def __init__(self) -> None:
        self.process: Final = os.getpid()
        self._incarnation = secrets.token_hex(_NAME)
        self._number = 0
        self._failed: dict[int, Failed] = {}
        self._size = 0

    def begin(self, records: Sequence[object], checksum: Callable[[], int]) -> Batch:
        """The identity of a batch: the one of before for the same object with the same content."""
        failed = self._forget(id(records))
        # Not where there are none: all that are empty may be one object.
        if failed is not None and records and failed.checksum == checksum():
            failed.batch.again = True
            return failed.batch
        self._number += 1
        return Batch(self._incarnation, self._number)

    def failed(self, records: Sequence[object], checksum: int, size: int, batch: Batch) -> None:
        """Note that nobody knows whether this one was stored."""
        self._forget(id(records))
        self._failed[id(records)] = Failed(records, checksum, size, batch)
        self._size += size
        while self._size > _FAILED and len(self._failed) > 1:
            self._forget(next(iter(self._failed)))

    def _forget(self, key: int) -> Failed | None:
        failed = self._failed.pop(key, None)
        self._size -= failed.size if failed is not None else 0
        return failed


def is_stored(connection: sqlite3.Connection, batch: Batch) -> bool:
    """Whether a batch is in the file, or was; cheap for one that comes for the first time."""
    if not batch.again:
        return False
    if any(first <= batch.number <= last for first, last in _ranges(connection, batch.incarnation)):
        return True
    rows = connection.execute("SELECT batches FROM head ORDER BY id DESC").fetchall()
    return any(batch.number in unpack(row[0]).get(batch.incarnation, ()) for row in rows)


def pack(batches: Iterable[Batch]) -> bytes:
    """The batches of a row, all of one process."""
    ones = list(batches)
    return bytes.fromhex(ones[0].incarnation) + bytes_of(array("Q", [one.number for one in ones]))


def unpack(data: bytes) -> "dict[str, array[int]]":
    """The numbers of `pack`, by the process; none where there is nothing to be read."""
    if len(data) % 8 or not data:
        return {}
    return {data[:_NAME].hex(): array_of("Q", data[_NAME:])}


def highest(connection: sqlite3.Connection) -> int:
    """The highest cursor that was ever given."""
    # A damaged header tells no end, but no row is longer.
    newest = f"SELECT CASE WHEN {CREDIBLE} THEN last ELSE id + {MAX_ENTRIES} END FROM head"  # noqa: S608
    newest += f" WHERE id < {POSSIBLE.stop} ORDER BY id DESC LIMIT 1"
    sql = f"SELECT max(coalesce((SELECT max(last) FROM writers), 0), coalesce(({newest}), 0))"  # noqa: S608
    return int(connection.execute(sql).fetchone()[0])


def note(connection: sqlite3.Connection, batch: Batch) -> None:
    """Remember a batch that is in no row of `head`."""
    _remember(connection, batch.incarnation, [batch.number], 0)


def retire(connection: sqlite3.Connection, first: int, last: int) -> None:
    """Before rows of `head` go, with ids from `first` to `last`: remember their batches, and the highest cursor."""
    sql = "SELECT last, batches FROM head WHERE id BETWEEN ? AND ? ORDER BY id"
    known: dict[str, list[int]] = {}
    rows = connection.execute(sql, (first, last)).fetchall()
    for _, data in rows:
        for incarnation, numbers in (unpack(data) or {"": array("Q")}).items():
            known.setdefault(incarnation, []).extend(numbers)
    for incarnation, some in known.items():
        _remember(connection, incarnation, some, rows[-1][0])


def _remember(connection: sqlite3.Connection, incarnation: str, numbers: Sequence[int], last: int) -> None:
    now = time.time()
    ranges = joined([*_ranges(connection, incarnation), *((number, number) for number in numbers)])
    row = connection.execute("SELECT last FROM writers WHERE incarnation = ?", (incarnation,)).fetchone()
    data = bytes_of(array("Q", [_MARK, *chain.from_iterable(ranges[-_RANGES:])]))
    last = max(last, row[0] if row else 0)
    connection.execute("INSERT OR REPLACE INTO writers VALUES (?, ?, ?, ?)", (incarnation, last, now, data))
    if row is None:
        # The highest cursor stays known, whoever wrote it and whatever was deleted.
        connection.execute(
            "DELETE FROM writers WHERE stored < ? AND last < (SELECT max(last) FROM writers)", (now - _DAY,)
        )


def _ranges(connection: sqlite3.Connection, incarnation: str) -> list[Range]:
    row = connection.execute("SELECT numbers FROM writers WHERE incarnation = ?", (incarnation,)).fetchone()
    numbers = array_of("Q", row[0]) if row else array("Q")
    if numbers and numbers[0] == _MARK:
        return list(zip(numbers[1::2], numbers[2::2], strict=False))
    return [(number, number) for number in numbers]


def joined(ranges: Iterable[Range]) -> list[Range]:
    """The same numbers in as few ranges as may be, in their order."""
    found: list[Range] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found
