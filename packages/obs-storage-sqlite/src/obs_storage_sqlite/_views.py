"""A sealed block as a query sees it: rows are chosen on columns, and the chosen rows alone become entries. Pure."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, Final

import msgspec

from obs_core import LEVELS, SEVERITY, LogEntry, LogQuery

from ._blocks import BASE, MESSAGES, SEVERE
from ._columns import Doubles, Words, ones, unpack_numbers
from ._groups import Group
from ._zstd import decompress

_decode: Final = msgspec.msgpack.Decoder().decode
# For each severity a table: of the number of a level, whether it is this severe or worse.
_WORSE: Final = {
    asked: bytes(SEVERITY[level] >= asked for level in LEVELS).ljust(256, b"\0")
    for asked in SEVERITY.values()
}

_OTHERS: Final = b"\1" + bytes(255)


class BlockView:
    """A sealed block. `part(number)` gives the bytes of a part, checked."""

    def __init__(self, first: int, part: Callable[[int], bytes]) -> None:
        self._first = first
        self._part = part
        # What another release adds comes last.
        offsets, times, levels, loggers, *more = _decode(decompress(part(BASE)))
        self.levels: bytes = levels
        self.count = len(levels)
        self._apart: Sequence[bytes] = more[0] if more else ()
        self._offsets, self._packed_loggers = offsets, loggers
        self._times = Doubles(times, self.count)

    @property
    def times(self) -> Sequence[float]:
        return self._times.all

    @cached_property
    def cursors(self) -> Sequence[int]:
        if not self._offsets:
            return range(self._first, self._first + self.count)
        return [self._first + offset for offset in unpack_numbers(self._offsets, self.count)]

    def rows(self, query: LogQuery, rows: Sequence[int]) -> Sequence[int]:
        """Those of ascending `rows` that answer the query, the cheapest columns first."""
        if query.level is not None:
            flags = self.levels.translate(_WORSE[query.severity])
            rows = ones(flags) if len(rows) == self.count else [row for row in rows if flags[row]]
        since, until = query.since, query.until
        if rows and not since is until is None:
            times = zip(rows, self._times.at(rows), strict=True)
            rows = [
                row
                for row, time in times
                if (since is None or time >= since) and (until is None or time < until)
            ]
        if rows and query.logger:
            name, below = query.logger, query.logger + "."
            asked = self._loggers.rows_of(lambda word: word == name or word.startswith(below))
            rows = _common(rows, asked, self.count)
        if query.trace_id or query.text or query.attributes:
            return sorted(row for group in self._groups for row in self._found(group, query, rows))
        return rows

    def _found(self, group: Group, query: LogQuery, rows: Sequence[int]) -> Sequence[int]:
        """Those of the rows that are in the group, and hold what is looked for."""
        left = group.places(rows)
        for search in group.searches(query):
            if not left:
                break
            left = _common(left, search(), group.count)
        return [group.rows[place] for place in left]

    def entries(self, rows: Sequence[int]) -> list[LogEntry]:
        """The entries of ascending rows."""
        fields: dict[int, Any] = {}
        for group in self._groups:
            places = group.places(rows)
            if places:
                fields.update(zip((group.rows[place] for place in places), group.fields(places), strict=True))
        loggers = self._loggers
        return [
            LogEntry(time, LEVELS[self.levels[row]], message, attributes, loggers[row], trace, span)
            for row, time in zip(rows, self._times.at(rows), strict=True)
            for message, attributes, trace, span in (fields[row],)
        ]

    @cached_property
    def _loggers(self) -> Words:
        return Words(self._packed_loggers, self.count)

    @cached_property
    def _groups(self) -> list[Group]:
        """All rows; or those that are not severe, and those that are."""
        if not self._apart:
            return [Group(b"\1" * self.count, self._part, decompress)]
        severe = self.levels.translate(SEVERE)
        return [
            Group(severe.translate(_OTHERS), self._part, decompress),
            Group(severe, lambda part: self._apart[part - MESSAGES], _as_it_is),
        ]


def _as_it_is(data: bytes, _: int = 0) -> bytes:
    return data


def _common(rows: Sequence[int], found: Iterable[int], count: int) -> Sequence[int]:
    """Those of ascending rows that were found, ascending; `count` are all there are."""
    if len(rows) == count:
        return list(found)
    good = set(found)
    return [row for row in rows if row in good]
