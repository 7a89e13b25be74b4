"""A flush as it is written: the entries of a batch in one row, MessagePack in a zstd frame. Pure."""

from collections.abc import Sequence
from functools import cached_property
from math import inf, isfinite, isnan
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from obs_core import LEVELS, LogEntry, LogQuery, StorageError, attribute_text, matches_log

from ._headers import shares, stored_size
from ._zstd import MAX_SIZE, compress, decompress

MAX_ENTRIES: Final = 4000
MAX_RAW: Final = 4_000_000
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[LogEntry]).decode
_PLAIN: Final = (str, int, float, type(None))
# What checking, encoding or decoding raises for a value that is not as the contract says.
_UNREADABLE: Final = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)
_NUMBER: Final = {level: number for number, level in enumerate(LEVELS)}


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


def flushes(entries: Sequence[LogEntry]) -> list[Flush]:
    """The rows of a batch. Raises `TypeError` for what is no `LogEntry`, `StorageError` for an entry too large."""
    for entry in entries:
        if not isinstance(entry, LogEntry):
            raise TypeError(f"LogEntry is needed, not {entry!r}: nothing of the batch was stored")
        check(entry)
    rows = []
    for start in range(0, len(entries), MAX_ENTRIES):
        rows += _split(entries[start : start + MAX_ENTRIES])
    return rows


def check(entry: LogEntry) -> None:
    """What types alone do not say: the level is one of ours, the time is one, attributes are JSON.

    Raises `TypeError`.
    """
    try:
        if entry.level not in _NUMBER:
            raise TypeError(f"level {entry.level!r} is none of {', '.join(LEVELS)}")
        if not isfinite(entry.timestamp):
            raise TypeError(f"timestamp {entry.timestamp} is no time")
        for value in entry.attributes.values():
            if not isinstance(value, _PLAIN):
                attribute_text(value)
    except (AttributeError, *_UNREADABLE) as error:
        raise TypeError(f"a LogEntry cannot be stored, so nothing of the batch was: {error}") from error


def _encoded(entries: Sequence[LogEntry]) -> bytes:
    """Raises `TypeError` where a field is of a type that would not be read again."""
    try:
        raw = _encode(entries)
        _decode(raw)
    except _UNREADABLE as error:
        raise TypeError(f"a LogEntry cannot be stored, so nothing of the batch was: {error}") from error
    return raw


def _split(entries: Sequence[LogEntry]) -> list[Flush]:
    raw = _encoded(entries)
    if len(raw) > MAX_RAW and len(entries) > 1:
        middle = len(entries) // 2
        return _split(entries[:middle]) + _split(entries[middle:])
    if len(raw) > MAX_SIZE // 2:
        raise StorageError(
            f"an entry of {len(raw)} bytes is over the bound of {MAX_SIZE // 2}: nothing was stored"
        )
    oldest, newest = time_bounds([entry.timestamp for entry in entries])
    data = compress(raw, 1)
    counts = count_levels([_NUMBER[entry.level] for entry in entries])
    levels = level_sizes(entries, counts, len(raw))
    return [Flush(len(entries), oldest, newest, counts, levels, len(raw), crc32(data), data)]


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
