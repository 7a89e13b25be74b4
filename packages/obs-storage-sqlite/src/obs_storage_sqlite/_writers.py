"""Who wrote what: cursors are given inside the write transaction, and a batch that comes again is not stored twice.

A row of `head` names its batches; when it leaves, the last ones of each process go into `writers`, with the highest
cursor. So a flush writes its own row and nothing else.
"""

import secrets
import sqlite3
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ._columns import array_of, bytes_of

# A batch is sent again at once or within some seconds, so the last ones are enough.
_REMEMBERED: Final = 64
_DAY: Final = 86_400.0
_NAME: Final = 8


class Batch:
    """The identity of a batch. `again` where it may be stored already: only then it is looked for."""

    def __init__(self, incarnation: str, number: int) -> None:
        self.incarnation = incarnation
        self.number = number
        self.again = False


class Batches:
    """Numbers the batches of one process. One that failed, perhaps after it was stored, keeps its number."""

    def __init__(self) -> None:
        self._incarnation = secrets.token_hex(_NAME)
        self._number = 0
        self._failed: list[tuple[object, int, Batch]] = []

    def begin(self, records: Sequence[object], checksum: Callable[[], int]) -> Batch:
        """The identity of a batch: the one of before for the same object with the same content."""
        for failed in self._failed:
            if failed[0] is records and records and failed[1] == checksum():
                self._failed.remove(failed)
                failed[2].again = True
                return failed[2]
        self._number += 1
        return Batch(self._incarnation, self._number)

    def failed(self, records: Sequence[object], checksum: int, batch: Batch) -> None:
        """Note that nobody knows whether this one was stored."""
        self._failed = [*self._failed[-7:], (records, checksum, batch)]


def is_stored(connection: sqlite3.Connection, batch: Batch) -> bool:
    """Whether a batch is in the file, or was; cheap for one that comes for the first time."""
    if not batch.again:
        return False
    if batch.number in _numbers(connection, batch.incarnation):
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
    sql = """SELECT max(coalesce((SELECT max(last) FROM writers), 0),
                        coalesce((SELECT last FROM head ORDER BY id DESC LIMIT 1), 0))"""
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
    before = _numbers(connection, incarnation)
    row = connection.execute("SELECT last FROM writers WHERE incarnation = ?", (incarnation,)).fetchone()
    data = bytes_of(array("Q", [*before, *numbers][-_REMEMBERED:]))
    last = max(last, row[0] if row else 0)
    connection.execute("INSERT OR REPLACE INTO writers VALUES (?, ?, ?, ?)", (incarnation, last, now, data))
    if row is None:
        # The highest cursor stays known, whoever wrote it and whatever was deleted.
        connection.execute(
            "DELETE FROM writers WHERE stored < ? AND last < (SELECT max(last) FROM writers)", (now - _DAY,)
        )


def _numbers(connection: sqlite3.Connection, incarnation: str) -> "array[int]":
    row = connection.execute("SELECT numbers FROM writers WHERE incarnation = ?", (incarnation,)).fetchone()
    return array_of("Q", row[0]) if row else array("Q")
