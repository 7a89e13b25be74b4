"""Columns of numbers and texts as bytes that compress well. Pure: each `pack` has its `unpack`, exact."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any, Final

import msgspec

from obs_core import StorageError

# A count is read before what it counts, and must not take all memory: a window has some thousand rows.
_MOST: Final = 1 << 22
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode
_LITTLE: Final = array("H", [1]).tobytes() == b"\1\0"


def pack_numbers(numbers: Sequence[int]) -> bytes:
    """Integers from 0 to 2**64 - 1, as planes: all lowest bytes, then all second bytes, as far as any is not 0."""
    words = bytes_of(array("Q", numbers))
    width = (max(numbers, default=0).bit_length() + 7) // 8
    return b"".join(words[plane::8] for plane in range(width))


def unpack_numbers(data: bytes, count: int) -> "array[int]":
    """The integers of `pack_numbers`, of which there were `count`."""
    check_count(count)
    words = bytearray(8 * count)
    for plane in range(len(data) // count if count else 0):
        words[plane::8] = data[plane * count : (plane + 1) * count]
    return array_of("Q", bytes(words))


def check_count(count: int) -> None:
    """Raise `StorageError` for more than any column of ours holds."""
    if not 0 <= count <= _MOST:
        raise StorageError(f"a column claims {count} values: at most {_MOST} are read")


def zigzag(numbers: Sequence[int]) -> list[int]:
    """Signed integers as unsigned ones, small ones small."""
    return [number << 1 if number >= 0 else ~(number << 1) for number in numbers]


def unzigzag(numbers: Sequence[int]) -> list[int]:
    return [number >> 1 if not number & 1 else ~(number >> 1) for number in numbers]


def pack_doubles(doubles: "array[float]") -> bytes:
    """Doubles that grow slowly, as times do: the differences of their bits. Exact, whatever the values."""
    bits = array_of("q", bytes_of(doubles))
    steps = [after - before for before, after in pairwise(bits)]
    if not bits or max(map(abs, steps), default=0) >= 1 << 63:
        return b"\0" + bytes_of(doubles)
    if min(steps, default=0) >= 0:
        return b"\1" + bytes_of(bits[:1]) + pack_numbers(steps)
    return b"\2" + bytes_of(bits[:1]) + pack_numbers(zigzag(steps))


def unpack_doubles(data: bytes, count: int) -> "array[float]":
    """The doubles of `pack_doubles`, of which there were `count`."""
    if data[:1] == b"\0":
        return array_of("d", data[1:])
    (first,) = array_of("q", data[1:9])
    steps: Sequence[int] = unpack_numbers(data[9:], count - 1)
    if data[:1] == b"\2":
        steps = unzigzag(steps)
    return array_of("d", bytes_of(array("q", accumulate(steps, initial=first))))


def pack_words(words: Sequence[str]) -> bytes:
    """Texts of which many are the same: each once, and how far back the one meant stands."""
    places: dict[str, int] = {}
    back = []
    for word in words:
        place = places.get(word)
        if place is None:
            places[word] = len(places)
            back.append(0)
        else:
            back.append(len(places) - place)
    return _encode((_pack_ids(list(places)), pack_numbers(back)))


class Words:
    """The texts of `pack_words`, of which there were `count`, looked up one by one."""

    def __init__(self, data: bytes, count: int) -> None:
        packed, back = _decode(data)
        self._distinct = _unpack_ids(packed)
        self._back = unpack_numbers(back, count)
        self._at, self._seen = 0, 0

    def __getitem__(self, row: int) -> str:
        """Cheap where rows are asked for in ascending order."""
        if row < self._at:
            self._at, self._seen = 0, 0
        self._seen += self._back[self._at : row].count(0)
        self._at = row
        return self._distinct[self._seen - self._back[row]]

    def all(self) -> list[str]:
        """Every text, in the order of the rows."""
        words, seen = [], 0
        for distance in self._back:
            words.append(self._distinct[seen - distance])
            if not distance:
                seen += 1
        return words

    def rows_of(self, wanted: Callable[[str], bool]) -> Iterator[int]:
        """The rows whose text is wanted."""
        good = {place for place, word in enumerate(self._distinct) if wanted(word)}
        seen = 0
        for row, distance in enumerate(self._back if good else ()):
            if seen - distance in good:
                yield row
            if not distance:
                seen += 1


def pack_texts(texts: Sequence[bytes]) -> bytes:
    """UTF-8 texts one behind another, after the numbers of their bytes."""
    lengths = pack_numbers([len(text) for text in texts])
    return len(lengths).to_bytes(4, "little") + lengths + b"".join(texts)


def unpack_texts(data: bytes, count: int) -> tuple[list[int], bytes]:
    """Where each text of `pack_texts` ends in the bytes of all, and these bytes."""
    start = 4 + int.from_bytes(data[:4], "little")
    return list(accumulate(unpack_numbers(data[4:start], count))), data[start:]


def _pack_ids(words: list[str]) -> Any:
    """Hexadecimal ids of one length take half their digits."""
    length = len(words[0]) if words else 0
    text = "".join(words)
    if length and not length % 2 and all(len(word) == length for word in words):
        try:
            packed = bytes.fromhex(text)
        except ValueError:
            return words
        if packed.hex() == text:
            return (length, packed)
    return words


def _unpack_ids(packed: Any) -> list[str]:
    if len(packed) == 2 and isinstance(packed[1], bytes):
        length, text = packed[0], packed[1].hex()
        return [text[place : place + length] for place in range(0, len(text), length)]
    words: list[str] = packed
    return words


def bytes_of(numbers: "array[Any]") -> bytes:
    """Little-endian, so that a file may be carried to another machine."""
    if not _LITTLE:
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def array_of(kind: str, data: bytes) -> "array[Any]":
    numbers: array[Any] = array(kind, data)
    if not _LITTLE:
        numbers.byteswap()
    return numbers
