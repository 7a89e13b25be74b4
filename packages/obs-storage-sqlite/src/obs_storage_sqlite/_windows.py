"""A sealed window of samples: the rows of some hours, turned into a column for each series. Pure.

The directory holds the ids of the rows, their times and which series each has. Series lie, in the order of their
ids, in chunks of `CHUNK`: whoever wants one series decompresses one chunk.
"""

from array import array
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from typing import Final, NamedTuple

import msgspec

from ._chunks import LEVEL, ChunkView, encode_chunk
from ._columns import check_count, pack_doubles, pack_numbers, unpack_doubles, unpack_numbers
from ._points import SeriesCache
from ._zstd import compress, decompress

CHUNK: Final = 32
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
        encode_chunk([columns[id_] for id_ in ids[start : start + CHUNK]])
        for start in range(0, len(ids), CHUNK)
    ]
    return compress(directory, LEVEL), chunks


class WindowView:
    """A window; `chunk(number)` gives the bytes of a chunk, checked."""

    def __init__(
        self, first: int, directory: bytes, chunk: Callable[[int], bytes], cache: SeriesCache
    ) -> None:
        self.count: int
        self._lists: list[bytes]
        self.count, self._packed_ids, self._packed_times, self._lists, self._packed_kinds = _decode(
            decompress(directory)
        )
        check_count(self.count)
        self._first = first
        self._cache = cache
        self._chunk = chunk
        self._chunks: dict[int, ChunkView] = {}
        self._order = cache.order(self._lists)

    @cached_property
    def ids(self) -> list[int]:
        """The id of each row."""
        return [self._first + offset for offset in unpack_numbers(self._packed_ids, self.count)]

    @cached_property
    def times(self) -> "array[float]":
        """The time of each row."""
        return unpack_doubles(self._packed_times, self.count)

    @cached_property
    def _kinds(self) -> "array[int]":
        return unpack_numbers(self._packed_kinds, self.count)

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
        if len(self._lists) == 1 and series in self._order:
            return range(self.count)
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
            chunk = self._chunks[number] = ChunkView(self._chunk(number))
        return chunk.column(place % CHUNK, end)


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
