"""A stored block as a query sees it: rows are chosen on columns, and the chosen rows alone become entries. Pure."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import msgspec

from obs_core import LEVELS, SEVERITY, LogEntry, LogQuery, attribute_text

from ._blocks import ATTRIBUTES, BASE, IDS, MESSAGES, folded
from ._columns import Words, unpack_doubles, unpack_numbers, unpack_texts
from ._zstd import MAX_SIZE, decompress

_decode: Final = msgspec.msgpack.Decoder().decode
_json: Final = msgspec.json.Decoder()
# From so large a share of the rows on, whole columns are cheaper to decode than single values.
_DENSE: Final = 8


class BlockView:
    """A sealed block. `part(number)` gives the bytes of a part, checked."""

    def __init__(self, first: int, part: Callable[[int], bytes]) -> None:
        self._first = first
        self._part = part
        offsets, times, levels, loggers = _decode(decompress(part(BASE)))
        self.levels: bytes = levels
        self.count = len(levels)
        self._offsets, self._times, self._loggers = offsets, times, loggers

    @cached_property
    def times(self) -> Sequence[float]:
        return unpack_doubles(self._times, self.count)

    @cached_property
    def cursors(self) -> Sequence[int]:
        if not self._offsets:
            return range(self._first, self._first + self.count)
        return [self._first + offset for offset in unpack_numbers(self._offsets, self.count)]

    def rows(self, query: LogQuery, rows: Sequence[int]) -> Sequence[int]:
        """Those of ascending `rows` that answer the query, the cheapest columns first."""
        if query.level is not None:
            low = min(number for number, level in enumerate(LEVELS) if SEVERITY[level] >= query.severity)
            rows = [row for row in rows if self.levels[row] >= low]
        if rows and query.since is not None:
            rows = [row for row in rows if self.times[row] >= query.since]
        if rows and query.until is not None:
            rows = [row for row in rows if self.times[row] < query.until]
        for chosen in self._choosers(query):
            if not rows:
                break
            good = set(chosen())
            rows = [row for row in rows if row in good] if good else []
        return rows

    def entries(self, rows: Sequence[int]) -> list[LogEntry]:
        """The entries of ascending rows."""
        if not rows:
            return []
        dense = len(rows) * _DENSE > self.count
        loggers, traces, spans = (
            words.all() if dense else words for words in (Words(self._loggers, self.count), *self._ids)
        )
        ends, text = self._messages
        return [
            LogEntry(
                self.times[row],
                LEVELS[self.levels[row]],
                text[ends[row - 1] if row else 0 : ends[row]].decode(),
                attributes,
                loggers[row],
                traces[row],
                spans[row],
            )
            for row, attributes in zip(rows, self._attributes.of(rows, dense), strict=True)
        ]

    @cached_property
    def _ids(self) -> tuple[Words, Words]:
        traces, spans = _decode(decompress(self._part(IDS)))
        return Words(traces, self.count), Words(spans, self.count)

    @cached_property
    def _messages(self) -> tuple[list[int], bytes]:
        return unpack_texts(decompress(self._part(MESSAGES)), self.count)

    @cached_property
    def _attributes(self) -> "_Attributes":
        return _Attributes(self._part(ATTRIBUTES), self.count)

    def _choosers(self, query: LogQuery) -> Iterator[Callable[[], Iterator[int]]]:
        if query.logger:
            below = query.logger + "."
            yield lambda: Words(self._loggers, self.count).rows_of(
                lambda name: name == query.logger or name.startswith(below)
            )
        if query.trace_id:
            yield lambda: self._ids[0].rows_of(lambda name: name == query.trace_id)
        if query.text:
            yield lambda: _found(*self._messages, folded(query.text))
        for name, value in query.attributes.items():
            yield lambda name=name, value=value: self._attributes.equal(name, value)  # type: ignore[misc]


class _Attributes:
    """The attributes of a block, column by column."""

    def __init__(self, part: bytes, count: int) -> None:
        shapes, kinds, keys, frames = _decode(part)
        self._shapes: list[list[str]] = shapes
        numbers = unpack_numbers(decompress(kinds), count)
        # Bytes count faster, and nearly always there are few shapes.
        self._kinds: Sequence[int] = bytes(numbers.tolist()) if len(self._shapes) < 256 else numbers
        self._frames: Mapping[str, bytes] = dict(zip(keys, frames, strict=True))

    def equal(self, name: str, value: str) -> Iterator[int]:
        """The rows where an attribute has this text."""
        if name not in self._frames:
            return
        has = {kind for kind, shape in enumerate(self._shapes) if name in shape}
        rows = (row for row, kind in enumerate(self._kinds) if kind in has)
        for row, found in zip(rows, _all_values(decompress(self._frames[name])), strict=True):
            if attribute_text(found) == value:
                yield row

    def of(self, rows: Sequence[int], dense: bool) -> Iterator[dict[str, Any]]:
        """The attributes of ascending rows."""
        if not rows:
            return
        columns: dict[str, Callable[[int], Any]] = {}
        room = MAX_SIZE
        for key, frame in self._frames.items():
            data = decompress(frame, room)
            room -= len(data)
            columns[key] = _column(data, dense)
        places = dict.fromkeys(columns, 0)
        at = 0
        for row in rows:
            between = self._kinds[at:row]
            for kind in set(between):
                count = between.count(kind)
                for key in self._shapes[kind]:
                    places[key] += count
            at = row
            yield {key: columns[key](places[key]) for key in self._shapes[self._kinds[row]]}


def _column(data: bytes, dense: bool) -> Callable[[int], Any]:
    """Looks a value up by its place; a JSON line is decoded only where it is asked for, unless most are."""
    if dense or data[:1] == b"m":
        return _all_values(data).__getitem__
    lines = data[1:].split(b"\n")
    return lambda place: _json.decode(lines[place])


def _all_values(data: bytes) -> list[Any]:
    values: list[Any] = _decode(data[1:]) if data[:1] == b"m" else _json.decode_lines(data[1:])
    return values


def _found(ends: Sequence[int], text: bytes, wanted: bytes) -> Iterator[int]:
    """The rows whose message holds a folded text."""
    if not text.isascii():
        yield from _found_in_each(ends, text, wanted)
        return
    # Folding ASCII moves nothing, so that a place in the folded text is one in the messages.
    text = text.lower()
    place = text.find(wanted)
    while place >= 0:
        row = bisect_right(ends, place)
        if place + len(wanted) <= ends[row]:
            yield row
            place = text.find(wanted, ends[row])
        else:
            place = text.find(wanted, place + 1)


def _found_in_each(ends: Sequence[int], text: bytes, wanted: bytes) -> Iterator[int]:
    if wanted not in folded(text.decode()):
        return
    for row, end in enumerate(ends):
        if wanted in folded(text[ends[row - 1] if row else 0 : end].decode()):
            yield row
