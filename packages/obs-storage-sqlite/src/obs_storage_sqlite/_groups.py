"""Some rows of a sealed block: what their messages, ids and attributes are, and where something stands. Pure."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any, Final

import msgspec

from obs_core import LogQuery

from ._attributes import Attributes
from ._blocks import ATTRIBUTES, IDS, MESSAGES, folded
from ._columns import Words, ones, unpack_texts

_decode: Final = msgspec.msgpack.Decoder().decode
# From so large a share of the rows on, whole columns are cheaper to decode than single values.
_DENSE: Final = 8


class Group:
    """Rows of a block whose columns lie together, by a 1 for each; `part(number)` gives what `unpack` opens."""

    def __init__(self, flags: bytes, part: Callable[[int], bytes], unpack: Callable[..., bytes]) -> None:
        self._flags = flags
        self._part = part
        self._unpack = unpack
        self.count = flags.count(1)

    @cached_property
    def rows(self) -> Sequence[int]:
        """The block's rows that are in it, ascending."""
        return range(self.count) if len(self._flags) == self.count else ones(self._flags)

    def places(self, rows: Sequence[int]) -> Sequence[int]:
        """Where those of ascending block rows that are in the group stand in it."""
        flags = self._flags
        if self.count == len(flags):
            return rows
        if len(rows) == len(flags):
            return range(self.count)
        if len(rows) * _DENSE > len(flags):
            index = list(accumulate(flags, initial=0))
            return [index[row] for row in rows if flags[row]]
        found, place, at = [], 0, 0
        for row in rows:
            if flags[row]:
                place += flags.count(1, at, row)
                at = row
                found.append(place)
        return found

    def fields(self, places: Sequence[int]) -> Iterator[tuple[str, dict[str, Any], str, str]]:
        """Message, attributes, trace and span of ascending places."""
        dense = len(places) * _DENSE > self.count
        traces, spans = (words.all() if dense else words for words in self._ids)
        ends, text = self._messages
        for place, attributes in zip(places, self._attributes.of(places), strict=True):
            message = text[ends[place - 1] if place else 0 : ends[place]].decode()
            yield message, attributes, traces[place], spans[place]

    def searches(self, query: LogQuery) -> Iterator[Callable[[], Iterator[int]]]:
        """What must be looked for, the cheapest first: each gives the ascending places that it finds."""
        if query.trace_id:
            yield lambda: self._ids[0].rows_of(lambda name: name == query.trace_id)
        if query.text:
            yield lambda: _found(*self._messages, folded(query.text))
        for name, value in query.attributes.items():
            yield lambda name=name, value=value: self._attributes.equal(name, value)  # type: ignore[misc]

    @cached_property
    def _ids(self) -> tuple[Words, Words]:
        traces, spans = _decode(self._unpack(self._part(IDS)))
        return Words(traces, self.count), Words(spans, self.count)

    @cached_property
    def _messages(self) -> tuple[list[int], bytes]:
        return unpack_texts(self._unpack(self._part(MESSAGES)), self.count)

    @cached_property
    def _attributes(self) -> Attributes:
        return Attributes(self._part(ATTRIBUTES), self.count, self._unpack)


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
