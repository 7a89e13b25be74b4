"""Storing batches of log entries: those that wait together become rows together."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple
from zlib import crc32

from ._flushes import Flush, Piece, fits, flush
from ._headers import COLUMNS, Header, values
from ._writers import Batch, highest, is_stored, pack

_INSERT: Final = f"INSERT INTO head ({COLUMNS}, raw, checksum, data, batches) VALUES "  # noqa: S608
_MARKS: Final = f"({','.join('?' * (len(COLUMNS.split(',')) + 4))})"


class Waiting(NamedTuple):
    """A batch on its way into the file."""

    batch: Batch
    pieces: list[Piece]


class _Row(NamedTuple):
    """A row, and the batches of which it holds something."""

    flush: Flush
    batches: bytes


def checksum(encoded: Sequence[Piece]) -> int:
    """What tells the content of a batch from that of another."""
    value = 0
    for piece in encoded:
        value = crc32(piece.body, value)
    return value


def plan(waiting: Sequence[Waiting]) -> Callable[[sqlite3.Connection], None]:
    """What is to be done inside the transaction; what takes long, compressing, is done before it."""
    # One that was given up and came again at once may wait twice.
    once = list({(one.batch.incarnation, one.batch.number): one for one in waiting}.values())
    rows = _rows(once)

    def store(connection: sqlite3.Connection) -> None:
        new = [one for one in once if not is_stored(connection, one.batch)]
        _insert(connection, rows if len(new) == len(once) else _rows(new))
        for one in once:
            # Whoever is called again does not know how this ended.
            one.batch.again = True

    return store


def _rows(waiting: Sequence[Waiting]) -> list[_Row]:
    """As few rows as may be, in the order of the batches."""
    groups: list[tuple[list[Piece], dict[int, Batch]]] = []
    for batch, pieces in waiting:
        for piece in pieces:
            if not groups or not fits(groups[-1][0], piece):
                groups.append(([], {}))
            groups[-1][0].append(piece)
            groups[-1][1][batch.number] = batch
    return [_Row(flush(pieces), pack(batches.values())) for pieces, batches in groups]


def _insert(connection: sqlite3.Connection, rows: Sequence[_Row]) -> None:
    """All in one statement: each gives the interpreter's lock away, and a busy thread does not return it soon."""
    if not rows:
        return
    cursor = highest(connection) + 1
    columns: list[Any] = []
    for one, batches in rows:
        bounds = cursor, cursor + one.rows - 1, one.rows, one.oldest, one.newest
        header = Header(*bounds, one.counts, one.sizes, one.size, None, sealed=False)
        columns += (*values(header), one.raw, one.checksum, one.data, batches)
        cursor += one.rows
    connection.execute(_INSERT + ",".join([_MARKS] * len(rows)), columns)
