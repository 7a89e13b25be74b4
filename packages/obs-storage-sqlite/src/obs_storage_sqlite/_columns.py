"""Columns of numbers and texts as bytes that compress well. Pure: each `pack` has its `unpack`, exact."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate, compress, pairwise
from operator import sub
from typing import Any, Final

import msgspec

from obs_core import StorageError

# A count is read before what it counts, and must not take all memory: a window has some thousand rows.
_MOST: Final = 1 << 22
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode
_LITTLE: Final = array("H", [1]).tobytes() == b"\1\0"
# What is as rare as one in so many is looked for; else each is looked at.
_RARE: Final = 8
# For each byte whether it is 0.
_ZEROS: Final = b"\1" + bytes(255)


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


def small_numbers(data: bytes, count: int) -> Sequence[int]:
    """The same; where all are below 256 as bytes, which are looked through faster."""
    if len(data) > count:
        return unpack_numbers(data, count)
    check_count(count)
    return data or bytes(count)


def zeros(data: bytes, count: int) -> bytes:
    """For each of the numbers of `pack_numbers` 1 where it is 0, else 0."""
    check_count(count)
    seen = 0
    for start in range(0, len(data), count or 1):
        seen |= int.from_bytes(data[start : start + count], "little")
    return seen.to_bytes(count, "little").translate(_ZEROS)


def ones(flags: bytes) -> list[int]:
    """The places that hold 1, of 0 and 1."""
    if flags.count(1) * _RARE > len(flags):
        return list(compress(range(len(flags)), flags))
    found = []
    place = flags.find(1)
    while place >= 0:
        found.append(place)
        place = flags.find(1, place + 1)
    return found


def check_count(count: int) -> None:
    """Raise `StorageError` for more than any column of ours holds."""
    if not 0 <= count <= _MOST:
        raise StorageError(f"a column claims {count} values: at most {_MOST} are read")


def zigzag(numbers: Sequence[int]) -> list[int]:
    """Signed integers as unsigned ones, small ones small."""
    return [number << 1 if number >= 0 else ~(number << 1) for number in numbers]


def unzigzag(numbers: "array[int]") -> "array[int]":
    """The numbers of `zigzag`. All at once, as one long integer: a tenth of the time that a loop takes."""
    size = 8 * len(numbers)
    whole = int.from_bytes(bytes_of(numbers), "little")
    odd = whole & int.from_bytes(b"\1\0\0\0\0\0\0\0" * len(numbers), "little")
    # Half of each; where it was odd, all its bits the other way round.
    signed = (whole ^ odd) >> 1 ^ ((odd << 64) - odd)
    return array_of("q", signed.to_bytes(size, "little"))


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
    first, steps = _steps(data, count)
    return array_of("d", bytes_of(array("q", accumulate(steps, initial=first))))


def _steps(data: bytes, count: int) -> "tuple[int, array[int]]":
    (first,) = array_of("q", data[1:9])
    steps = unpack_numbers(data[9:], count - 1)
    return first, unzigzag(steps) if data[:1] == b"\2" else steps


class Doubles:
    """The doubles of `pack_doubles`, of which there were `count`: all of them, or some ascending ones."""

    def __init__(self, data: bytes, count: int) -> None:
        self._data, self._count = data, count

    @cached_property
    def all(self) -> "array[float]":
        """Those of every row."""
        return unpack_doubles(self._data, self._count)

    @cached_property
    def _steps(self) -> "tuple[int, array[int]]":
        return _steps(self._data, self._count)

    def at(self, rows: Sequence[int]) -> Sequence[float]:
        """Those of ascending rows."""
        if "all" in self.__dict__ or self._data[:1] == b"\0" or len(rows) * _RARE > self._count:
            return [self.all[row] for row in rows]
        bits, steps = self._steps
        found = array("q")
        at = 0
        for row in rows:
            bits += sum(steps[at:row])
            found.append(bits)
            at = row
        return array_of("d", bytes_of(found))


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
        self._distinct, back = _decode(data)
        self._back = small_numbers(back, count)
        self._new = zeros(back, count)
        self._at, self._seen = 0, 0

    def __getitem__(self, row: int) -> str:
        """Cheap where rows are asked for in ascending order."""
        if row < self._at:
            self._at, self._seen = 0, 0
        self._seen += self._new.count(1, self._at, row)
        self._at = row
        return _unpack_id(self._distinct, self._seen - self._back[row])

    def all(self) -> list[str]:
        """Every text, in the order of the rows."""
        return list(map(_unpack_ids(self._distinct).__getitem__, self._places()))

    def rows_of(self, wanted: Callable[[str], bool]) -> Iterator[int]:
        """The rows whose text is wanted."""
        good = {place for place, word in enumerate(_unpack_ids(self._distinct)) if wanted(word)}
        return (row for row, place in enumerate(self._places() if good else ()) if place in good)

    def _places(self) -> Iterator[int]:
        """The place of each row's text among the distinct ones."""
        return map(sub, accumulate(self._new, initial=0), self._back)


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
    if _are_ids(packed):
        length, text = packed[0], packed[1].hex()
        return [text[place : place + length] for place in range(0, len(text), length)]
    words: list[str] = packed
    return words


def _unpack_id(packed: Any, place: int) -> str:
    if not _are_ids(packed):
        return str(packed[place])
    half = packed[0] // 2
    word: bytes = packed[1][half * place : half * (place + 1)]
    if len(word) != half:
        raise StorageError("an id is missing")
    return word.hex()


def _are_ids(packed: Any) -> bool:
    return len(packed) == 2 and isinstance(packed[1], bytes)


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
