"""The headers of blocks and of flush rows: what a query must know before it decompresses anything."""

import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from zlib import crc32

from obs_core import LEVELS, LogQuery, levels_from, parse_level

from ._schema import LEVEL_COLUMNS, PAGE, SIZE_COLUMNS

COLUMNS: Final = ", ".join(
    (*("id", "last", "rows", "oldest", "newest"), *LEVEL_COLUMNS, *SIZE_COLUMNS, *("size", "gone", "seal"))
)
TOTAL: Final = "(" + "+".join(LEVEL_COLUMNS) + ")"
SIZE_LEFT: Final = "(" + "+".join(SIZE_COLUMNS) + ")"
_NUMBERS: Final = struct.Struct(f"<dd{4 + 2 * len(LEVELS)}q")


class Header(NamedTuple):
    """One block, sealed or not. `counts` and `sizes` have a number for each level, of what is not gone."""

    id: int
    last: int
    rows: int
    oldest: float
    newest: float
    counts: tuple[int, ...]
    sizes: tuple[int, ...]
    size: int
    gone: bytes | None
    sealed: bool
    seal: int | None = None

    @property
    def sound(self) -> bool:
        """Whether it is as it was written: what is deleted by a header alone depends on it."""
        return self.seal == _seal(self)

    @property
    def entries(self) -> int:
        return sum(self.counts)

    def count_of(self, level: str | None) -> int:
        """Entries of this very level, or all."""
        return self.entries if level is None else self.counts[LEVELS.index(level)]

    def size_of(self, level: str | None) -> int:
        """Bytes of the entries of this very level, or of all, that are not gone."""
        return sum(self.sizes) if level is None else self.sizes[LEVELS.index(level)]

    def live(self) -> Sequence[int]:
        """The rows that are not gone, ascending."""
        return live(self.rows, self.gone)


def header(row: Sequence[Any], *, sealed: bool) -> Header:
    """From the values of `COLUMNS`."""
    id_, last, rows, oldest, newest, *levels, size, gone, seal = row
    counts, sizes = tuple(levels[: len(LEVELS)]), tuple(levels[len(LEVELS) :])
    return Header(id_, last, rows, oldest, newest, counts, sizes, size, gone, sealed, seal)


def values(one: Header) -> tuple[Any, ...]:
    """For the columns of `COLUMNS`."""
    return (
        one.id,
        one.last,
        one.rows,
        one.oldest,
        one.newest,
        *one.counts,
        *one.sizes,
        one.size,
        one.gone,
        _seal(one),
    )


def _seal(one: Header) -> int | None:
    """The checksum of a header; None where its columns are not even numbers."""
    numbers = (one.id, one.last, one.rows, *one.counts, *one.sizes, one.size)
    try:
        packed = _NUMBERS.pack(one.oldest, one.newest, *numbers)
        return crc32(packed + (one.gone or b""))
    except (struct.error, TypeError):
        return None


def live(rows: int, gone: bytes | None) -> Sequence[int]:
    """The rows whose bit is not set."""
    if gone is None:
        return range(rows)
    bits = bin(int.from_bytes(gone, "little") | 1 << rows)[:2:-1]
    return [row for row in range(rows) if bits[row] == "0"]


def bitmap(rows: int, gone: Sequence[int], before: bytes | None = None) -> bytes:
    """The bits of rows that are gone, beside those that were before."""
    bits = int.from_bytes(before or b"", "little")
    for row in gone:
        bits |= 1 << row
    return bits.to_bytes((rows + 7) // 8, "little")


def column_of(level: str | None) -> str:
    """The column, or sum of columns, that counts the entries of this very level."""
    return TOTAL if level is None else LEVEL_COLUMNS[LEVELS.index(level)]


def size_column_of(level: str | None) -> str:
    """The column that has the bytes of the entries of this very level that are not gone, or those in the file."""
    return "size" if level is None else SIZE_COLUMNS[LEVELS.index(level)]


def shares(size: int, raw: Sequence[int]) -> tuple[int, ...]:
    """A size divided among levels as their bytes are before they are compressed."""
    total = sum(raw) or 1
    return tuple(size * one // total for one in raw)


def conditions(query: LogQuery, place: int | None) -> tuple[str, list[Any]]:
    """Which headers may hold an answer, beyond a place in the order of the query."""
    parts: list[str] = []
    bounds: list[Any] = []
    for bound, condition in (
        (place, "id < ?" if query.order == "desc" else "last > ?"),
        (query.since, "newest >= ?"),
        (query.until, "oldest < ?"),
    ):
        if bound is not None:
            parts.append(condition)
            bounds.append(bound)
    level = parse_level(query.level) if query.level else None
    if level is not None:
        columns = [LEVEL_COLUMNS[LEVELS.index(name)] for name in levels_from(level)]
        parts.append("+".join(columns) + " > 0")
    return " AND ".join(parts) or "1", bounds


def stored_size(data: bytes) -> int:
    """What a blob takes in the file: what does not fit into a page gets pages of its own."""
    return len(data) + 24 if len(data) < PAGE - 35 else -(-(len(data) + 24) // (PAGE - 4)) * PAGE
