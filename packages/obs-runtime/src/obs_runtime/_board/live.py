"""One worker's live file: how it is written, and how all read it."""

import os
import secrets
import time
from array import array
from pathlib import Path
from typing import Final

from . import files
from ._errors import BoardError, DamagedError
from .format import (
    HEAD,
    Area,
    Header,
    Room,
    area_at,
    checked_values,
    current_area,
    decode_header,
    encode_area,
    encode_header,
)
from .locks import Opened
from .model import Published
from .slots import Columns, decode_extra

SUFFIX: Final = ".live"
_ATTEMPTS: Final = 50
_PAUSE: Final = 0.0005


class LiveFile:
    """The file of this worker, locked for its life. It is remade, larger, where something does not fit."""

    def __init__(self, folder: Path, id_: bytes, number: int, started: float) -> None:
        self.path = folder / f"{id_.hex()}{SUFFIX}"
        self._id, self._number, self._started = id_, number, started
        self._file: Opened | None = None
        self._inode = 0
        self._room = Room(0, 0, 0)
        self.keys = 0
        self.series = 0
        self._publication = 0

    def begin(self, keys: bytes, values: "array[float]", extra: bytes) -> None:
        """Make the file, or make it anew. Raises `OSError`; then the one before stands."""
        room = Room(_rounded(len(values), 128), _rounded(len(extra), 512), _rounded(len(keys), 8192))
        header = Header(self._id, secrets.token_bytes(8), self._number, self._started, room)
        body = values.tobytes()
        content = bytearray(room.keys_at + len(keys))
        content[: HEAD - 128] = encode_header(header).ljust(HEAD - 128, b"\0")
        area = encode_area(1, body, len(keys), extra)
        content[area_at(0) : area_at(0) + len(area)] = area
        content[room.values_at(0) : room.values_at(0) + len(body)] = body
        content[room.extra_at(0) : room.extra_at(0) + len(extra)] = extra
        content[room.keys_at :] = keys
        file = files.create(self.path, bytes(content), room.size)
        self.close()
        self._file, self._inode = file, file.inode
        self._room, self.keys, self.series, self._publication = room, len(keys), len(values), 1

    def fits(self, keys: int, values: int, extra: int) -> bool:
        """Whether so many bytes of keys in all, so many values and bytes of extra can be published."""
        return self._room.holds(values, extra, keys)

    def in_place(self) -> bool:
        """Whether the file is still the one that others read, and whole."""
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            return False
        return status.st_ino == self._inode and status.st_size >= self._room.size

    def publish(self, keys: bytes, values: "array[float]", extra: bytes) -> None:
        """Add keys, and show these values from now on. Raises `OSError`; then what was shown before stands."""
        if self._file is None:
            raise BoardError("this worker has no file on the board yet")
        descriptor = self._file.descriptor
        number = self._publication + 1
        # Publication 1 stands in area 0, and each next one in the other.
        area = (number - 1) % 2
        body = values.tobytes()
        files.write(descriptor, keys, self._room.keys_at + self.keys)
        files.write(descriptor, body, self._room.values_at(area))
        files.write(descriptor, extra, self._room.extra_at(area))
        files.write(descriptor, encode_area(number, body, self.keys + len(keys), extra), area_at(area))
        self._publication, self.keys, self.series = number, self.keys + len(keys), len(values)

    def close(self) -> None:
        """Let go of the lock: from now on the worker is dead."""
        file, self._file = self._file, None
        if file is not None:
            file.close()


class Reader:
    """Reads live files; the keys of each are kept, since they are only added to."""

    def __init__(self) -> None:
        self._columns: dict[bytes, Columns] = {}

    def read(self, path: Path) -> Published:
        """What a worker published last. Raises `OSError`, `UnknownFormatError`, or `DamagedError` where it stays so."""
        with Opened(path, os.O_RDONLY) as file:
            return self.read_open(file.descriptor)

    def read_open(self, descriptor: int) -> Published:
        for attempt in range(_ATTEMPTS):
            try:
                return self._read(descriptor)
            except DamagedError:
                # The writer was at work, as a rule: the next reading is whole.
                if attempt == _ATTEMPTS - 1:
                    raise
            time.sleep(_PAUSE)
        raise AssertionError("unreachable")

    def keep(self, published: "list[Published]") -> None:
        """Forget the keys of all others: they are gone."""
        kept = {one.shape[0] for one in published if isinstance(one.shape, tuple)}
        self._columns = {nonce: columns for nonce, columns in self._columns.items() if nonce in kept}

    def _read(self, descriptor: int) -> Published:
        head = os.pread(descriptor, HEAD, 0)
        header = decode_header(head)
        place, area = current_area(head)
        room = header.room
        if not room.holds(area.values, area.extra, area.keys):
            raise DamagedError("an area says more than its file has room for")
        extra = os.pread(descriptor, area.extra, room.extra_at(place)) if area.extra else b""
        body = os.pread(descriptor, 8 * area.values, room.values_at(place))
        values = checked_values(area, body, extra)
        columns = self._read_keys(descriptor, header, area)
        times, exemplars = decode_extra(extra)
        shape = (header.nonce, columns.count)
        return Published(header.id.hex(), header.number, shape, columns.columns, values, times, exemplars)

    def _read_keys(self, descriptor: int, header: Header, area: Area) -> Columns:
        columns = self._columns.setdefault(header.nonce, Columns(header.started))
        if columns.parsed < area.keys:
            at = header.room.keys_at + columns.parsed
            columns.add(os.pread(descriptor, area.keys - columns.parsed, at))
        if (columns.parsed, columns.count) != (area.keys, area.values):
            raise DamagedError("the keys of a live file do not fit its values")
        return columns


def live_files(folder: Path) -> list[Path]:
    """The live files, by name. Raises `OSError`."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == SUFFIX)
    except FileNotFoundError:
        return []


def _rounded(needed: int, least: int) -> int:
    """Room for half as much again, in powers of two, so that growing is rare."""
    room = least
    while room < needed + needed // 2:
        room *= 2
    return room
