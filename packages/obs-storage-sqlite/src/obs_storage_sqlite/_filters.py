"""The text index: a Bloom filter for each block, over all runs of four bytes of its messages and over whole values.

A filter may say yes where the answer is no, never the other way round. It is cut into `STRIPES` of equal width, so
that a search over many blocks reads the few stripes that its probes fall into. Pure.

What folding makes of a letter depends on the Unicode tables of the Python that sealed the block: where there is any but
ASCII in its messages, the filter is marked with their version.
"""

import sys
import unicodedata
from array import array
from collections.abc import Iterable, Sequence
from typing import Final
from zlib import crc32

STRIPES: Final = 4
GRAM: Final = 4
_BITS_PER_GRAM: Final = 4
_BITS_PER_VALUE: Final = 8
_PROBES_PER_VALUE: Final = 3
# The GIL is held while a set grows; in slices of so many bytes that is half a millisecond.
_SLICE: Final = 32_768
_MASK: Final = 0xFFFFFFFF

_CHECKSUM: Final = (1 << 32) - 1
# The version as a number that is not 0: 15.1.0 is 150100.
TABLES: Final = int("".join(f"{int(part):02}" for part in unicodedata.unidata_version.split(".")))

Probe = tuple[int, int]


def build(text: bytes, values: Iterable[bytes]) -> bytes:
    """The filter of a block: of the folded text of its messages, and of whole values (see `value_key`)."""
    hashes = {gram * 0x9E3779B1 & _MASK for gram in _grams(text)}
    whole = set(values)
    size = _BITS_PER_GRAM * len(hashes) + _BITS_PER_VALUE * len(whole)
    for value in whole:
        hashes.update(_value_hashes(value))
    width = 8 * (size // (8 * STRIPES) + 1)
    flags = bytearray(b"0") * (STRIPES * width)
    for number in hashes:
        flags[(number & 3) * width + (number >> 2) % width] = 49
    return int(flags, 2).to_bytes(STRIPES * width // 8, "big")


def sum_of(stripe: bytes, tables: int) -> int:
    """The checksum of a stripe, and above it the version of the tables that the filter depends on; 0 for none."""
    return tables << 32 | crc32(stripe)


def is_whole(stripe: bytes, checksum: object) -> bool:
    """Whether a stripe is as it was written."""
    return isinstance(checksum, int) and checksum & _CHECKSUM == crc32(stripe)


def is_foreign(checksum: int) -> bool:
    """Whether a filter depends on tables that are not ours: it may deny a text that is not all ASCII.

    ASCII is safe: what folds to it is settled, as Unicode never changes the folding of a letter that it has.
    """
    return checksum >> 32 not in (0, TABLES)


def text_probes(text: bytes) -> list[Probe]:
    """What a filter must hold where a folded text of at least `GRAM` bytes occurs."""
    return _probes(gram * 0x9E3779B1 & _MASK for gram in _grams(text))


def value_probes(value: bytes) -> list[Probe]:
    """What a filter must hold where a whole value occurs."""
    return _probes(_value_hashes(value))


def value_key(name: str, text: str) -> bytes:
    """A name and the text of its value, as they are put into a filter."""
    return f"{name}\0{text}".encode("utf-8", "replace")


def stripes(bits: bytes) -> list[bytes]:
    """A whole filter, cut."""
    width = len(bits) // STRIPES
    return [bits[start : start + width] for start in range(0, len(bits), width)]


def holds(stripe: bytes, places: Sequence[int]) -> bool:
    """Whether a stripe holds all these places."""
    size = 8 * len(stripe)
    for place in places:
        at = place % size
        if not stripe[at >> 3] >> (7 - (at & 7)) & 1:
            return False
    return True


def by_stripe(probes: Iterable[Probe]) -> dict[int, list[int]]:
    """The places that are asked for in each stripe, the stripe with the most first."""
    stripes: dict[int, list[int]] = {}
    for number, place in probes:
        stripes.setdefault(number, []).append(place)
    return dict(sorted(stripes.items(), key=lambda item: -len(item[1])))


def _grams(text: bytes) -> set[int]:
    grams: set[int] = set()
    view = memoryview(text)
    for offset in range(min(GRAM, max(len(text) - GRAM + 1, 0))):
        length = (len(text) - offset) // GRAM * GRAM
        for start in range(offset, offset + length, _SLICE):
            part = view[start : min(start + _SLICE, offset + length)]
            grams.update(part.cast("I") if sys.byteorder == "little" else _swapped(part))
    return grams


def _swapped(part: memoryview) -> "array[int]":
    grams = array("I", part.tobytes())
    grams.byteswap()
    return grams


def _value_hashes(value: bytes) -> list[int]:
    first = crc32(value)
    second = crc32(value, 0x5BD1E995) | 1
    return [first + step * second & _MASK for step in range(_PROBES_PER_VALUE)]


def _probes(hashes: Iterable[int]) -> list[Probe]:
    return sorted({(number & 3, number >> 2) for number in hashes})
