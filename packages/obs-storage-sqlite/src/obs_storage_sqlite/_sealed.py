"""A sealed block: built of entries, and put into its tables."""

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from obs_core import LEVELS, LogEntry, StorageError

from ._blocks import PARTS, block_filter, encode_block
from ._filters import TABLES, stripes, sum_of
from ._flushes import count_levels, level_sizes, time_bounds
from ._headers import COLUMNS, Header, shares, stored_size, values
from ._views import BlockView

_encode: Final = msgspec.msgpack.Encoder().encode


class Sealed(NamedTuple):
    """A block that is ready to be stored."""

    header: Header
    parts: list[bytes]
    tables: int = 0


def build(cursors: Sequence[int], entries: Sequence[LogEntry]) -> Sealed:
    """A block of entries, with its filter. Pure. Raises one of `DAMAGE` for what could not be read again."""
    parts = [*encode_block(cursors, entries), *stripes(block_filter(entries))]
    # What the block takes the place of is deleted, so it is opened once before.
    raw = _encode(entries)
    seen = BlockView(cursors[0], parts.__getitem__)
    if list(seen.cursors) != list(cursors) or _encode(seen.entries(range(seen.count))) != raw:
        raise StorageError("a block does not give back what it was made of")
    oldest, newest = time_bounds([entry.timestamp for entry in entries])
    counts = count_levels([LEVELS.index(entry.level) for entry in entries])
    size = sum(map(stored_size, parts)) + 80
    sizes = shares(size, level_sizes(entries, counts, len(raw)))
    return Sealed(
        Header(*(cursors[0], cursors[-1], len(entries), oldest, newest), *(counts, sizes, size, None, True)),
        parts,
        0 if all(entry.message.isascii() for entry in entries) else TABLES,
    )


def insert_block(connection: sqlite3.Connection, block: Sealed) -> None:
    """Store a block with its parts."""
    insert_header(connection, block.header)
    connection.executemany(
        "INSERT INTO parts VALUES (?, ?, ?)",
        [
            (8 * block.header.id + part, sum_of(data, block.tables if part >= PARTS else 0), data)
            for part, data in enumerate(block.parts)
        ],
    )


def insert_header(connection: sqlite3.Connection, one: Header) -> None:
    """Store the header alone."""
    marks = ",".join("?" * len(values(one)))
    connection.execute(f"INSERT INTO blocks ({COLUMNS}) VALUES ({marks})", values(one))  # noqa: S608
