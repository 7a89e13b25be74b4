"""A sealed window of samples: the rows of some hours, turned into a column for each series. Pure.

The directory holds the ids of the rows, their times and which series each has. Series lie, in the order of their
ids, in chunks of `CHUNK`: whoever wants one series decompresses one chunk. Whole numbers are stored as differences;
other values as differences of their bits, so that every double comes back as it was.
"""

from array import array
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from math import copysign
from operator import sub
from typing import Final, NamedTuple

import msgspec

from ._columns import (
    array_of,
    bytes_of,
    check_count,
    pack_doubles,
    pack_numbers,
    unpack_doubles,
    unpack_numbers,
    unzigzag,
    zigzag,
)
from ._points import SeriesCache
from ._zstd import compress, decompress

CHUNK: Final = 32
LEVEL: Final = 6
# How a column is stored: all values equal; whole numbers that rise, or do not; differences of bits; as it is.
_SAME, _RISING, _WHOLE, _BITS, _RAW = range(5)
_EXACT: Final = float(1 << 53)
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode


class Row(NamedTuple):
    """One instant: its id, its time, its series (packed, see `pack_series`) and their values."""

    id: int
    timestamp: float
    series: bytes
    values: "array[float]"


def encode_window(rows: Sequence[Row]) -> tuple[bytes, list[bytes]]:
    """The directory and the chunks of some rows, whose ids ascend."""
    lists: dict[bytes, int] = {}
    kinds = [lists.setdefault(row.series, len(lists)) for row in rows]
    first = rows[0].id
    directory = _encode(
        (
            len(rows),
            pack_numbers([row.id - first for row in rows]),
            pack_doubles(array("d", [row.timestamp for row in rows])),
            list(lists),
            pack_numbers(kinds),
        )
    )
    columns = _columns(rows)
    ids = sorted(columns)
    chunks = [
        _chunk([columns[id_] for id_ in ids[start : start + CHUNK]]) for start in range(0, len(ids), CHUNK)
    ]
    return compress(directory, LEVEL), chunks


class WindowView:
    """A window; `chunk(number)` gives the bytes of a chunk, checked."""

    def __init__(
        self, first: int, directory: bytes, chunk: Callable[[int], bytes], cache: SeriesCache
    ) -> None:
        count, ids, times, lists, kinds = _decode(decompress(directory))
        self.count: int = count
        self._first, self._packed_ids = first, ids
        self.times = unpack_doubles(times, count)
        self._lists: list[bytes] = lists
        self._kinds = unpack_numbers(kinds, count)
        self._cache = cache
        self._chunk = chunk
        self._chunks: dict[int, _ChunkView] = {}
        self._order = cache.order(lists)

    @cached_property
    def ids(self) -> list[int]:
        """The id of each row."""
        return [self._first + offset for offset in unpack_numbers(self._packed_ids, self.count)]

    def chunks_of(self, series: Iterable[int]) -> list[int]:
        """The chunks that hold these series, as far as the window has them."""
        order = self._order
        return sorted({order[id_] // CHUNK for id_ in series if id_ in order})

    def series(self, wanted: Collection[int]) -> list[int]:
        """Those of the wanted series that it has, in the order in which they are first met."""
        if len(self._lists) == 1 and len(wanted) < len(self._order):
            places = self._cache.places(self._lists[0])
            return sorted((id_ for id_ in wanted if id_ in places), key=places.__getitem__)
        met = dict.fromkeys(id_ for packed in self._lists for id_ in self._cache.ids(packed))
        return [id_ for id_ in met if id_ in wanted]

    def everything(self) -> list[int]:
        """All series."""
        return list(self._order)

    def series_of(self, row: int) -> list[int]:
        """The series of a row, in the order of storing."""
        return self._cache.ids(self._lists[self._kinds[row]])

    def rows_of(self, series: int) -> Sequence[int]:
        """The rows in which a series was sampled."""
        has = [series in self._cache.places(packed) for packed in self._lists]
        if all(has):
            return range(self.count)
        return [row for row, kind in enumerate(self._kinds) if has[kind]]

    def column(self, series: int, end: int | None = None) -> "array[float]":
        """The values of a series, one for each of `rows_of`, the first `end` at least; none where it has none."""
        place = self._order.get(series)
        if place is None:
            return array("d")
        number = place // CHUNK
        chunk = self._chunks.get(number)
        if chunk is None:
            chunk = self._chunks[number] = _ChunkView(self._chunk(number))
        return chunk.column(place % CHUNK, end)


class _ChunkView:
    def __init__(self, data: bytes) -> None:
        counts, kinds, firsts, steps, bits, raw = _decode(decompress(data))
        self._kinds: bytes = kinds
        self._counts = unpack_numbers(counts, len(kinds))
        check_count(sum(self._counts))
        self._firsts: bytes = firsts
        self._raw: bytes = raw
        # Where the numbers of each column begin, among those of the columns stored alike.
        self._starts: list[int] = []
        taken = {_SAME: 0, _WHOLE: 0, _BITS: 0, _RAW: 0}
        for kind, count in zip(kinds, self._counts, strict=True):
            group = _WHOLE if kind == _RISING else kind
            self._starts.append(taken[group])
            taken[group] += count if kind == _RAW else count - 1
        self._steps = unpack_numbers(steps, taken[_WHOLE])
        self._bits = unpack_numbers(bits, taken[_BITS])

    def column(self, place: int, end: int | None) -> "array[float]":
        kind, start = self._kinds[place], self._starts[place]
        count = self._counts[place] if end is None else min(end, self._counts[place])
        if kind == _RAW:
            return array_of("d", self._raw[8 * start : 8 * (start + count)])
        first = self._firsts[8 * place : 8 * place + 8]
        if kind == _SAME:
            return array_of("d", first * count)
        if kind == _BITS:
            steps: Sequence[int] = unzigzag(self._bits[start : start + count - 1])
            bits = array("q", accumulate(steps, initial=array_of("q", first)[0]))
            return array_of("d", bytes_of(bits))
        steps = self._steps[start : start + count - 1]
        if kind == _WHOLE:
            steps = unzigzag(steps)
        return array("d", accumulate(steps, initial=int(array_of("d", first)[0])))


def _columns(rows: Sequence[Row]) -> "dict[int, array[float]]":
    cache = SeriesCache()
    columns: dict[int, array[float]] = {}
    for row in rows:
        for id_, value in zip(cache.ids(row.series), row.values, strict=True):
            column = columns.get(id_)
            if column is None:
                column = columns[id_] = array("d")
            column.append(value)
    return columns


def _chunk(columns: "Sequence[array[float]]") -> bytes:
    kinds = bytearray()
    firsts = array("d")
    steps: list[int] = []
    bits: list[int] = []
    raw = array("d")
    for column in columns:
        kind, numbers = _differences(column)
        kinds.append(kind)
        firsts.append(column[0])
        if kind in (_RISING, _WHOLE):
            steps += numbers
        elif kind == _BITS:
            bits += numbers
        elif kind == _RAW:
            raw += column
    packed = (
        pack_numbers([len(column) for column in columns]),
        bytes(kinds),
        bytes_of(firsts),
        pack_numbers(steps),
        pack_numbers(bits),
        bytes_of(raw),
    )
    return compress(_encode(packed), LEVEL)


def _differences(column: "array[float]") -> tuple[int, list[int]]:
    bits = array_of("q", bytes_of(column))
    if bits.count(bits[0]) == len(bits):
        return _SAME, []
    if _are_whole(column):
        whole = list(map(int, column))
        steps = list(map(sub, whole[1:], whole))
        return (_RISING, steps) if min(steps) >= 0 else (_WHOLE, zigzag(steps))
    steps = list(map(sub, bits[1:], bits))
    if max(map(abs, steps)) >= 1 << 63:
        return _RAW, []
    return _BITS, zigzag(steps)


def _are_whole(column: "array[float]") -> bool:
    """Whether a difference of integers gives the very same doubles again: not for -0.0."""
    if not all(map(float.is_integer, column)) or not -_EXACT < min(column) <= max(column) < _EXACT:
        return False
    return not any(copysign(1.0, value) < 0 for value in column if value == 0.0)
