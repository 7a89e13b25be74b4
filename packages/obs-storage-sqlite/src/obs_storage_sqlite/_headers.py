"""The headers of blocks and of flush rows: what a query must know before it decompresses anything.

A header is held to its checksum wherever it is read. SQL can compute a part of that, the mark, so that no condition on
a damaged column hides its header: what is not `MARKED` is let through, and judged by who reads it.
"""

import struct
from collections.abc import Sequence
from math import inf
from operator import mul
from typing import Any, Final, NamedTuple
from zlib import crc32

from obs_core import LEVELS, SEVERITY, LogQuery

from ._schema import LEVEL_COLUMNS, PAGE, SIZE_COLUMNS

COLUMNS: Final = ", ".join(
    (*("id", "last", "rows", "oldest", "newest"), *LEVEL_COLUMNS, *SIZE_COLUMNS, *("size", "gone", "seal"))
)
TOTAL: Final = "(" + "+".join(LEVEL_COLUMNS) + ")"
SIZE_LEFT: Final = "(" + "+".join(SIZE_COLUMNS) + ")"
# The place among the counts of the least severe level that a severity lets through.
LOWEST: Final = {0: 0, **{SEVERITY[level]: place for place, level in enumerate(LEVELS)}}
# No id of ours is below 1, but one that is damaged may be anywhere; beyond these it has no parts.
LOWEST_ID: Final = -(1 << 63)
POSSIBLE: Final = range(-(1 << 59), 1 << 59)
_NUMBERS: Final = struct.Struct(f"<dd{4 + 2 * len(LEVELS)}q")
# Times count in the mark as so many parts of a second; a time that is damaged within one is seen by the checksum alone.
_PARTS: Final = 1024
_SLACK: Final = 2 / _PARTS
_FAR: Final = 1e12
# A prime: no bit that is flipped leaves the remainder as it was.
_PRIME: Final = (1 << 31) - 1
_MARKED_COLUMNS: Final = ("id", "last", "rows", *LEVEL_COLUMNS, *SIZE_COLUMNS, "size")
_WEIGHTS: Final = range(5, 5 + 2 * len(_MARKED_COLUMNS), 2)
_MARK: Final = f"""((CAST({_PARTS} * min(max(oldest, -{_FAR}), {_FAR}) AS INTEGER)
    + 3 * CAST({_PARTS} * min(max(newest, -{_FAR}), {_FAR}) AS INTEGER)
    + {" + ".join(f"{weight} * {column}" for weight, column in zip(_WEIGHTS, _MARKED_COLUMNS, strict=True))})
    % {_PRIME})"""
_CHECKSUM: Final = (1 << 32) - 1
# The mark is above the checksum; 0 in what an earlier build wrote.
MARKED: Final = f"seal >> 32 IS {_MARK}"
# What may be summed up: nothing shows that a column is damaged.
CREDIBLE: Final = f"(seal >> 32 = 0 OR {MARKED})"


class Header(NamedTuple):
    """One block, sealed or not. `counts` and `sizes` have a number for each level, of what is not gone.

    Where it is not as it was written, it says nothing but its `id`, and `told` are the values of `COLUMNS`.
    """

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
    told: tuple[Any, ...] | None = None

    @property
    def sound(self) -> bool:
        """Whether it is as it was written."""
        return self.told is None

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


class Stored(NamedTuple):
    """A block with its data: number of the part → checksum and bytes. A flush row has one part, 0."""

    header: Header
    parts: dict[int, tuple[int, bytes]]


def header(row: Sequence[Any], *, sealed: bool) -> Header:
    """From the values of `COLUMNS`."""
    one = as_told(row, sealed=sealed)
    # Who searches reads hundreds of them. That the mark is right too is for those who delete and verify.
    packed = _packed(one)
    if packed is not None and isinstance(row[-1], int) and crc32(packed) == row[-1] & _CHECKSUM:
        return one
    none = (0,) * len(LEVELS)
    return Header(*(one.id, one.id, 0, -inf, inf, none, none, 0, None, sealed), told=tuple(row))


def as_told(row: Sequence[Any], *, sealed: bool) -> Header:
    """From the values of `COLUMNS`, whatever they are."""
    id_, last, rows, oldest, newest, *levels, size, gone, _ = row
    counts, sizes = tuple(levels[: len(LEVELS)]), tuple(levels[len(LEVELS) :])
    return Header(id_, last, rows, oldest, newest, counts, sizes, size, gone, sealed)


def is_sealed_by(one: Header, seal: object) -> bool:
    """Whether a header is what was sealed so, now or by an earlier build."""
    whole = _seal(one)
    return whole is not None and seal in (whole, whole & _CHECKSUM)


def values(one: Header) -> tuple[Any, ...]:
    """For the columns of `COLUMNS`."""
    if one.told is not None:
        return one.told
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
    """The mark and the checksum of a header; None where its columns are not even numbers."""
    packed = _packed(one)
    if packed is None:
        return None
    numbers = (one.id, one.last, one.rows, *one.counts, *one.sizes, one.size)
    oldest, newest = (int(_PARTS * min(max(time, -_FAR), _FAR)) for time in (one.oldest, one.newest))
    total: int = oldest + 3 * newest + sum(map(mul, _WEIGHTS, numbers))
    # As SQL does: what is below zero leaves a remainder below zero.
    mark = total % _PRIME if total >= 0 else -(-total % _PRIME)
    return mark << 32 | crc32(packed)


def _packed(one: Header) -> bytes | None:
    try:
        numbers = _NUMBERS.pack(
            one.oldest, one.newest, one.id, one.last, one.rows, *one.counts, *one.sizes, one.size
        )
        return numbers + one.gone if one.gone else numbers
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


def conditions(query: LogQuery, place: int | None, seen: int | None) -> tuple[str, list[Any]]:
    """Which headers may hold an answer, beyond a place in the order of the query, or have no mark and were not `seen`.

    It lets through some that `may_answer` does not.
    """
    desc = query.order == "desc"
    parts: list[str] = []
    bounds: list[Any] = []
    for bound, condition in (
        (place, "id < ?" if desc else "last > ?"),
        (None if query.since is None else query.since - _SLACK, "newest >= ?"),
        (None if query.until is None else query.until + _SLACK, "oldest < ?"),
    ):
        if bound is not None:
            parts.append(condition)
            bounds.append(bound)
    if query.severity:
        parts.append("+".join(LEVEL_COLUMNS[LOWEST[query.severity] :]) + " > 0")
    if not parts:
        return "1", bounds
    unmarked = f"NOT ({MARKED})"
    if seen is not None:
        unmarked += f" AND id {'<' if desc else '>'} ?"
        bounds.append(seen)
    return f"(({' AND '.join(parts)}) OR ({unmarked}))", bounds


def may_answer(one: Header, query: LogQuery, place: int | None) -> bool:
    """Whether there may be an answer in a block beyond a place in the order of the query."""
    return not one.sound or (
        (place is None or (one.id < place if query.order == "desc" else one.last > place))
        and (query.since is None or one.newest >= query.since)
        and (query.until is None or one.oldest < query.until)
        and (not query.level or any(one.counts[LOWEST[query.severity] :]))
    )


def stored_size(data: bytes) -> int:
    """What a blob takes in the file: what does not fit into a page gets pages of its own."""
    return len(data) + 24 if len(data) < PAGE - 35 else -(-(len(data) + 24) // (PAGE - 4)) * PAGE
