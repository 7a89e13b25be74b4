"""The bytes of a live file, which one worker writes and all read. Nothing here does I/O.

    header | area A | area B | values A | values B | extra A | extra B | keys

An area says how many values, bytes of keys and of extra are valid, with a number that grows and a checksum. It is
written last, into the one that is not in use: whoever dies in between leaves the other whole. Keys are only added:
records of a length, a checksum and JSON. Extra is JSON too: exemplars, and the times of `latest` gauges.

What stands between the end of an area and the next one is nobody's yet, and not looked at: a newer release may say
there which formats it knows, and an older one counts its file all the same.
"""

import json
import struct
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from zlib import crc32

from ._errors import DamagedError, UnknownFormatError

MAGIC: Final = b"obs-live"
VERSION: Final = 1
_HEADER: Final = struct.Struct("<8sIIIII16s8sdI")
_AREA: Final = struct.Struct("<QIIII")
_RECORD: Final = struct.Struct("<II")
_AREAS_AT: Final = (64, 128)
_VALUES_AT: Final = 192
HEAD: Final = _VALUES_AT


@dataclass(frozen=True, slots=True)
class Room:
    """How much fits: values, and bytes of extra and of keys."""

    values: int
    extra: int
    keys: int

    @property
    def size(self) -> int:
        return self.keys_at + self.keys

    @property
    def keys_at(self) -> int:
        return self.extra_at(2)

    def values_at(self, area: int) -> int:
        return _VALUES_AT + area * 8 * self.values

    def extra_at(self, area: int) -> int:
        return self.values_at(2) + area * self.extra

    def holds(self, values: int, extra: int, keys: int) -> bool:
        return values <= self.values and extra <= self.extra and keys <= self.keys


@dataclass(frozen=True, slots=True)
class Header:
    """Whose file it is. `nonce` is new for each file, also where a worker's grows; `number` is the worker's."""

    id: bytes
    nonce: bytes
    number: int
    started: float
    room: Room


class Area(NamedTuple):
    """What is valid. `number` grows by one at each publication; 0 is none yet."""

    number: int
    values: int
    keys: int
    extra: int
    checksum: int


def encode_header(header: Header) -> bytes:
    room = header.room
    fields = (MAGIC, VERSION, room.values, room.extra, room.keys, header.number, header.id, header.nonce)
    body = _HEADER.pack(*fields, header.started, 0)[:-4]
    return body + crc32(body).to_bytes(4, "little")


def decode_header(head: bytes) -> Header:
    """Raises `UnknownFormatError` for one of another version, `DamagedError` for what is none of ours."""
    if not head.startswith(MAGIC):
        raise UnknownFormatError("no live file of ours")
    if len(head) < HEAD:
        raise DamagedError("a live file is cut off")
    if (version := int.from_bytes(head[8:12], "little")) != VERSION:
        raise UnknownFormatError(f"a live file of format {version}, where {VERSION} is known")
    _, _, values, extra, keys, number, id_, nonce, started, checksum = _HEADER.unpack_from(head)
    if checksum != crc32(head[: _HEADER.size - 4]):
        raise DamagedError("the header of a live file was changed")
    return Header(id_, nonce, number, started, Room(values, extra, keys))


def encode_area(number: int, values: bytes, keys: int, extra: bytes) -> bytes:
    fields = (number, len(values) // 8, keys, len(extra))
    return _AREA.pack(*fields, _checksum(fields, values, extra))


def area_at(area: int) -> int:
    return _AREAS_AT[area]


def current_area(head: bytes) -> tuple[int, Area]:
    """The area that was written last, and its place."""
    areas = [Area(*_AREA.unpack_from(head, at)) for at in _AREAS_AT]
    place = int(areas[1].number > areas[0].number)
    return place, areas[place]


def checked_values(area: Area, values: bytes, extra: bytes) -> "array[float]":
    """The values, with one 0.0 more. Raises `DamagedError` where the writer was at work meanwhile."""
    if _checksum(area[:4], values, extra) != area.checksum:
        raise DamagedError("the values of a live file do not fit their checksum")
    numbers = array("d", values)
    numbers.append(0.0)
    return numbers


def encode_record(content: Sequence[Any]) -> bytes:
    body = json.dumps(content, separators=(",", ":")).encode()
    return _RECORD.pack(len(body), crc32(body)) + body


def decode_records(keys: bytes) -> Iterator[Any]:
    """Raises `DamagedError` for a record that is not whole."""
    at = 0
    while at < len(keys):
        if at + _RECORD.size > len(keys):
            raise DamagedError("a record of keys is cut off")
        length, checksum = _RECORD.unpack_from(keys, at)
        body = keys[at + _RECORD.size : at + _RECORD.size + length]
        if crc32(body) != checksum or len(body) != length:
            raise DamagedError("a record of keys does not fit its checksum")
        yield json.loads(body)
        at += _RECORD.size + length


def _checksum(fields: Sequence[int], values: bytes, extra: bytes) -> int:
    return crc32(extra, crc32(values, crc32(struct.pack("<QIII", *fields))))
