"""Looking into a stored block, whichever kind it is; and what is said where it is damaged."""

import sys
import time
from collections.abc import Sequence
from typing import Final
from zlib import crc32

import msgspec

from obs_core import LogEntry, LogQuery, Registry, StorageError

from ._flushes import FlushView
from ._headers import Header, Stored
from ._views import BlockView

_MINUTE: Final = 60.0
# So many damaged blocks are known apart; a file that has more of them counts them again.
_MOST: Final = 4096
# What decoding raises where bytes are not what was written.
DAMAGE: Final = (
    *(StorageError, msgspec.MsgspecError, ValueError, LookupError, TypeError, OverflowError),
    *(RecursionError, MemoryError),
)


class Damage:
    """Counts what was found damaged, each block once in a process; says so, at most one line a minute."""

    def __init__(self, registry: Registry, kind: str) -> None:
        self._blocks = registry.counter(
            "obs_storage_damaged_blocks_total",
            "Blocks that a worker found damaged, by what is in them: logs, samples.",
            labels=("kind",),
        ).labels(kind)
        self._records = registry.counter(
            "obs_storage_damaged_records_total",
            "Entries and samples that are left out with them, as far as is known how many.",
            labels=("kind",),
        ).labels(kind)
        # Each query meets them again.
        self._known: dict[str, None] = {}
        self._said = -_MINUTE
        self._unsaid = 0

    @property
    def count(self) -> int:
        """How many blocks."""
        return int(self._blocks.values()[0])

    def note(self, what: str, error: object, records: int = 0, *, then: str = "left out") -> None:
        """Take note of a block, with which so many records are left out. Many threads may do so."""
        if what in self._known:
            return
        if len(self._known) >= _MOST:
            self._known = {}
        self._known[what] = None
        self._blocks.inc()
        self._records.inc(records)
        now = time.monotonic()
        if now - self._said < _MINUTE:
            self._unsaid += 1
            return
        more = f" (and {self._unsaid} others, which were not said)" if self._unsaid else ""
        self._said, self._unsaid = now, 0
        sys.stderr.write(f"obs: {what} is damaged and {then}: {error}{more}\n")


def view(stored: Stored) -> BlockView | FlushView:
    """A view of a block. Raises `StorageError` for what is damaged, at once or when it is used."""

    def part(number: int) -> bytes:
        checksum, data = stored.parts.get(number, (0, b""))
        if crc32(data) != checksum or not data:
            raise StorageError(f"the checksum of part {number} is wrong")
        return data

    try:
        # A flush that could not be sealed lies among the blocks as it was: in one part.
        if stored.header.sealed and len(stored.parts) > 1:
            return BlockView(stored.header.id, part)
        return FlushView(stored.header.id, part(0))
    except DAMAGE as error:
        raise StorageError(str(error)) from error


def answers(
    stored: Stored, query: LogQuery, place: int | None, limit: int | None
) -> list[tuple[int, LogEntry]]:
    """The first `limit` entries of a block that answer, with their cursors, in the order of the query.

    Raises `StorageError` for a damaged block.
    """
    try:
        seen = view(stored)
        rows: Sequence[int] = stored.header.live()
        if place is not None and stored.header.id <= place <= stored.header.last:
            desc, cursors = query.order == "desc", seen.cursors
            rows = [row for row in rows if (cursors[row] < place if desc else cursors[row] > place)]
        rows = seen.rows(_within(query, stored.header), rows)
        if limit is not None:
            rows = rows[-limit:] if query.order == "desc" else rows[:limit]
        found = [(seen.cursors[row], entry) for row, entry in zip(rows, seen.entries(rows), strict=True)]
    except DAMAGE as error:
        raise StorageError(str(error)) from error
    return found[::-1] if query.order == "desc" else found


def _within(query: LogQuery, one: Header) -> LogQuery:
    """What is still to be asked of the entries of a block, all of which lie within its bounds."""
    since = None if query.since is None or one.oldest >= query.since else query.since
    until = None if query.until is None or one.newest < query.until else query.until
    if (since, until) == (query.since, query.until):
        return query
    return msgspec.structs.replace(query, since=since, until=until)


def answers_of(
    blocks: Sequence[Stored], query: LogQuery, place: int | None, limit: int | None, damage: Damage
) -> list[tuple[int, LogEntry]]:
    """The first `limit` answers of some blocks; a damaged one is noted and left out."""
    found: list[tuple[int, LogEntry]] = []
    for stored in blocks:
        try:
            found += answers(stored, query, place, None if limit is None else limit - len(found))
        except StorageError as error:
            damage.note(f"the block of cursor {stored.header.id}", error, stored.header.entries)
        if len(found) == limit:
            break
    return found
