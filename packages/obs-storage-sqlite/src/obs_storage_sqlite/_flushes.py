"""A flush as it is written: the entries of some batches in one row, MessagePack in a zstd frame. Pure."""

from collections.abc import Sequence
from functools import cached_property
from math import inf, isnan
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from obs_core import LEVELS, LogEntry, LogQuery, StorageError, matches_log
from obs_core.checks import check_entries

from ._headers import shares, stored_size
from ._zstd import MAX_SIZE, compress, decompress

MAX_ENTRIES: Final = 4000
MAX_RAW: Final = 4_000_000
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[LogEntry]).decode
_NUMBER: Final = {level: number for number, level in enumerate(LEVELS)}


class Piece(NamedTuple):
    """Entries of a batch, encoded one behind another; `levels` has the bytes of each level."""

    rows: int
    oldest: float
    newest: float
    counts: tuple[int, ...]
    levels: tuple[int, ...]
    body: bytes


class Flush(NamedTuple):
    """A row of `head` but for its cursors, which are given when it is stored."""

    rows: int
    oldest: float
    newest: float
    counts: tuple[int, ...]
    levels: tuple[int, ...]
    raw: int
    checksum: int
    data: bytes

    @property
    def size(self) -> int:
        return stored_size(self.data) + 80

    @property
    def sizes(self) -> tuple[int, ...]:
        return shares(self.size, self.levels)


def pieces(entries: Sequence[LogEntry]) -> list[Piece]:
    """A batch, encoded. Raises `TypeError` for what cannot be stored, `StorageError` for an entry too large."""
    check_entries(entries)
    found = []
    for start in range(0, len(entries), MAX_ENTRIES):
        found += _split(entries[start : start + MAX_ENTRIES])
    return found


def flush(some: Sequence[Piece]) -> Flush:
    """One row of some pieces."""
    body = b"".join([_header(sum(one.rows for one in some)), *(one.body for one in some)])
    data = compress(body, 1)
    return Flush(
        sum(one.rows for one in some),
        min(one.oldest for one in some),
        max(one.newest for one in some),
        _added([one.counts for one in some]),
        _added([one.levels for one in some]),
        len(body),
        crc32(data),
        data,
    )


def fits(some: Sequence[Piece], another: Piece) -> bool:
    """Whether one more piece may go into the same row."""
    rows = sum(one.rows for one in some) + another.rows
    return rows <= MAX_ENTRIES and sum(len(one.body) for one in some) + len(another.body) <= MAX_RAW


def _added(numbers: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return numbers[0] if len(numbers) == 1 else tuple(map(sum, zip(*numbers, strict=True)))


def _header(count: int) -> bytes:
    """What MessagePack has before the items of an array."""
    if count < 16:
        return bytes([0x90 | count])
    return b"\xdc" + count.to_bytes(2, "big")


def _split(entries: Sequence[LogEntry]) -> list[Piece]:
    try:
        raw = _encode(entries)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise TypeError(f"a LogEntry cannot be stored, so nothing of the batch was: {error}") from error
    if len(raw) > MAX_RAW and len(entries) > 1:
        middle = len(entries) // 2
        return _split(entries[:middle]) + _split(entries[middle:])
    if len(raw) > MAX_SIZE // 2:
        raise StorageError(
            f"an entry of {len(raw)} bytes is over the bound of {MAX_SIZE // 2}: nothing was stored"
        )
    oldest, newest = time_bounds([entry.timestamp for entry in entries])
    counts = count_levels([_NUMBER[entry.level] for entry in entries])
    levels = level_sizes(entries, counts, len(raw))
    return [Piece(len(entries), oldest, newest, counts, levels, raw[len(_header(len(entries))) :])]


def level_sizes(entries: Sequence[LogEntry], counts: Sequence[int], raw: int) -> tuple[int, ...]:
    """Encoded bytes of each level, of which there are so many entries; `raw` are those of all."""
    most = counts.index(max(counts))
    sizes = [
        len(_encode([entry for entry in entries if entry.level == level])) if count and place != most else 0
        for place, (level, count) in enumerate(zip(LEVELS, counts, strict=True))
    ]
    # The largest group is what the others leave.
    sizes[most] = max(raw - sum(sizes), 1)
    return tuple(sizes)


def count_levels(numbers: Sequence[int]) -> tuple[int, ...]:
    """How many of each level, given by its place in `LEVELS`."""
    return tuple(map(numbers.count, range(len(LEVELS))))


def time_bounds(times: Sequence[float]) -> tuple[float, float]:
    """The oldest and the newest of some times; with NaN among them, all of time."""
    return (-inf, inf) if isnan(sum(times)) else (min(times), max(times))


class FlushView:
    """A flush row as a query sees it; like `BlockView`."""

    def __init__(self, first: int, data: bytes) -> None:
        self._entries = _decode(decompress(data))
        self.count = len(self._entries)
        self.cursors: Sequence[int] = range(first, first + self.count)

    @cached_property
    def levels(self) -> bytes:
        return bytes([_NUMBER[entry.level] for entry in self._entries])

    @cached_property
    def times(self) -> Sequence[float]:
        return [entry.timestamp for entry in self._entries]

    def rows(self, query: LogQuery, rows: Sequence[int]) -> Sequence[int]:
        """Those of ascending `rows` that answer the query."""
        return [row for row in rows if matches_log(query, self._entries[row])]

    def entries(self, rows: Sequence[int]) -> list[LogEntry]:
        """The entries of ascending rows."""
        return [self._entries[row] for row in rows]
