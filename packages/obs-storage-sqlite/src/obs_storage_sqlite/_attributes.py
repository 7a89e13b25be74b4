"""The attributes of a sealed block, column by column; a value is decoded only where it is asked for. Pure."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import compress
from typing import Any, Final

import msgspec

from obs_core import attribute_text

from ._columns import small_numbers
from ._zstd import MAX_SIZE

_decode: Final = msgspec.msgpack.Decoder().decode
_json: Final = msgspec.json.Decoder()
# So many kinds are counted faster one by one than looked for.
_FEW: Final = 16
_to_json: Final = msgspec.json.Encoder().encode


class Attributes:
    """Which keys each row has, and in what order, is its kind; a column has the values of a key, row by row."""

    def __init__(self, part: bytes, count: int, unpack: Callable[..., bytes]) -> None:
        shapes, kinds, keys, frames = _decode(part)
        self._unpack = unpack
        self._shapes: list[list[str]] = shapes
        self._kinds = small_numbers(unpack(kinds), count)
        self._frames: Mapping[str, bytes] = dict(zip(keys, frames, strict=True))

    def equal(self, name: str, value: str) -> Iterator[int]:
        """The rows where an attribute has this text."""
        if name not in self._frames:
            return iter(())
        has = [name in shape for shape in self._shapes]
        rows = compress(range(len(self._kinds)), map(has.__getitem__, self._kinds))
        places = set(_places_of(self._unpack(self._frames[name]), value))
        return (row for place, row in enumerate(rows) if place in places) if places else iter(())

    def of(self, rows: Sequence[int]) -> Iterator[dict[str, Any]]:
        """The attributes of ascending rows."""
        if not rows:
            return iter(())
        shapes = [self._shapes[self._kinds[row]] for row in rows]
        wanted, total = self._places(rows)
        columns: dict[str, Iterator[Any]] = {}
        room = MAX_SIZE
        for key, places in wanted.items():
            data = self._unpack(self._frames[key], room)
            room -= len(data)
            columns[key] = iter(_values(data, places, total[key]))
        return ({key: next(columns[key]) for key in shape} for shape in shapes)

    def _places(self, rows: Sequence[int]) -> "tuple[dict[str, list[int]], Counter[str]]":
        """Where the values of ascending rows stand in the columns of their keys; how many each column has."""
        places: dict[str, list[int]] = {}
        before: Counter[str] = Counter()
        at = 0
        for row in rows:
            self._count(at, row, before)
            at = row
            for key in self._shapes[self._kinds[row]]:
                places.setdefault(key, []).append(before[key])
        self._count(at, len(self._kinds), before)
        return places, before

    def _count(self, start: int, stop: int, keys: "Counter[str]") -> None:
        """Count the keys of some rows."""
        if start == stop:
            return
        kinds = self._kinds[start:stop]
        for kind in range(len(self._shapes)) if len(self._shapes) < _FEW else set(kinds):
            count = kinds.count(kind)
            if count:
                for key in self._shapes[kind]:
                    keys[key] += count


def _values(data: bytes, places: Sequence[int], total: int) -> list[Any]:
    """The values at ascending places of a column, of `total`; of JSON lines no more are cut than must be."""
    if data[:1] == b"m":
        values: list[Any] = _decode(data[1:])
        return [values[place] for place in places]
    if len(places) == total:
        return _json.decode_lines(data[1:])
    first, last = places[0], places[-1]
    if first > total // 2:
        lines = data[:-1].rsplit(b"\n", total - first)
        return _json.decode_lines(b"\n".join([lines[place - total] for place in places]))
    lines = data[1:].split(b"\n", last + 1)
    return _json.decode_lines(b"\n".join([lines[place] for place in places]))


def _places_of(data: bytes, text: str) -> Iterator[int]:
    """The places of a column whose value has this text."""
    if data[:1] == b"m":
        for place, value in enumerate(_decode(data[1:])):
            if attribute_text(value) == text:
                yield place
        return
    # A line is text in quotes, or it is what `attribute_text` would give.
    lines = {_to_json(text)}
    if text and text[0] != '"' and "\n" not in text:
        lines.add(text.encode())
    data = b"\n" + data[1:]
    for line in lines:
        wanted = b"\n" + line + b"\n"
        found, place, at = data.find(wanted), 0, 0
        while found >= 0:
            place += data.count(b"\n", at, found)
            yield place
            at = found
            found = data.find(wanted, found + 1)
