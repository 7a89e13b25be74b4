"""Columns of samples, those of some series in one zstd frame. Pure.

Whole numbers are stored as differences; other values as differences of their bits, so that every double comes back as
it was.
"""

from array import array
from collections.abc import Sequence
from itertools import accumulate
from math import copysign
from operator import sub
from struct import pack
from typing import Any, Final

import msgspec

from obs_core import StorageError

from ._columns import (
    array_of,
    bytes_of,
    check_count,
    pack_numbers,
    small_numbers,
    unpack_numbers,
    unzigzag,
    zigzag,
)
from ._zstd import compress, decompress

LEVEL: Final = 6
# How a column is stored: all values equal; whole numbers that rise, or do not; differences of bits; as it is.
_SAME, _RISING, _WHOLE, _BITS, _RAW = range(5)
_EXACT: Final = float(1 << 53)
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode


def encode_chunk(columns: "Sequence[array[float]]") -> bytes:
    """The columns, none of them empty."""
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


class _Numbers:
    """The numbers of `pack_numbers`, of which there were `total`: some of them, while the others stay packed."""

    def __init__(self, planes: bytes, total: int) -> None:
        self._planes, self._total = planes, total
        if len(planes) % (total or 1):
            raise StorageError(f"{len(planes)} bytes do not hold {total} numbers")

    def some(self, start: int, count: int) -> bytes:
        """So many from `start`, packed: a stretch of each plane, as far as any is not 0."""
        places = range(start, len(self._planes), self._total or 1)
        planes = [self._planes[at : at + count] for at in places]
        while planes and planes[-1].count(0) == count:
            planes.pop()
        return b"".join(planes)


class ChunkView:
    """The columns of a chunk, each unpacked when it is asked for."""

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
        self._steps = _Numbers(steps, taken[_WHOLE])
        self._bits = _Numbers(bits, taken[_BITS])

    def column(self, place: int, end: int | None) -> "array[float]":
        kind, start = self._kinds[place], self._starts[place]
        count = self._counts[place] if end is None else min(end, self._counts[place])
        if kind == _RAW:
            return array_of("d", self._raw[8 * start : 8 * (start + count)])
        first = self._firsts[8 * place : 8 * place + 8]
        if kind == _SAME:
            return array_of("d", first * count)
        if kind == _BITS:
            differences = unzigzag(unpack_numbers(self._bits.some(start, count - 1), count - 1))
            bits = array("q", accumulate(differences, initial=array_of("q", first)[0]))
            return array_of("d", bytes_of(bits))
        return _summed(array_of("d", first)[0], self._steps.some(start, count - 1), count - 1, kind)


def _summed(first: float, packed: bytes, count: int, kind: int) -> "array[float]":
    """The whole numbers that begin with `first` and have these `count` steps."""
    steps = unzigzag(unpack_numbers(packed, count)) if kind == _WHOLE else small_numbers(packed, count)
    # With steps below 256 doubles are exact all the way, and faster.
    begin: Any = first if isinstance(steps, bytes) else int(first)
    # An array takes twice as long over what it is given one by one.
    return array("d", pack(f"{count + 1}d", *accumulate(steps, initial=begin)))


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
