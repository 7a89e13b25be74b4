"""Who wrote what: cursors are given inside the write transaction, and a batch that comes again is not stored twice."""

import secrets
import sqlite3
from array import array
from collections.abc import Sequence
from typing import Final

# A batch is sent again at once or within some seconds, so the last ones are enough.
_REMEMBERED: Final = 64
_DAY: Final = 86_400.0

Batch = tuple[str, int]


class Batches:
    """Numbers the batches of one process. One that failed, perhaps after it was stored, keeps its number."""

    def __init__(self) -> None:
        self._incarnation = secrets.token_hex(8)
        self._number = 0
        self._failed: list[tuple[object, int, Batch]] = []

    def begin(self, records: Sequence[object], checksum: int) -> Batch:
        """The identity of a batch: the one of before for the same object with the same content."""
        for failed in self._failed:
            if failed[0] is records and records and failed[1] == checksum:
                self._failed.remove(failed)
                return failed[2]
        self._number += 1
        return self._incarnation, self._number

    def failed(self, records: Sequence[object], checksum: int, batch: Batch) -> None:
        """Note that nobody knows whether this one was stored."""
        self._failed = [*self._failed[-7:], (records, checksum, batch)]


def admit(connection: sqlite3.Connection, batch: Batch, count: int, now: float) -> int | None:
    """Give `count` cursors to a batch: the first of them, or None where it is stored already."""
    incarnation, number = batch
    row = connection.execute(
        "SELECT last, numbers FROM writers WHERE incarnation = ?", (incarnation,)
    ).fetchone()
    numbers = array("Q", row[1] if row else b"")
    if number in numbers:
        return None
    (highest,) = connection.execute("SELECT coalesce(max(last), 0) FROM writers").fetchone()
    numbers = array("Q", [*numbers[1 - _REMEMBERED :], number])
    last = highest + count if count else (row[0] if row else 0)
    connection.execute(
        "INSERT OR REPLACE INTO writers VALUES (?, ?, ?, ?)", (incarnation, last, now, numbers.tobytes())
    )
    if row is None:
        # The highest cursor stays known, whoever wrote it and whatever was deleted.
        connection.execute("DELETE FROM writers WHERE stored < ? AND last < ?", (now - _DAY, highest))
    return int(highest) + 1
