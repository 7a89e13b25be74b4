"""The live tail: what is stored from now on, by whichever worker, in the order of cursors."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from time import monotonic
from typing import Final

from msgspec.structs import replace

from .._errors import StorageError
from .._ports import LogStoragePort
from .._queries import LogQuery, matches_log
from .._records import StoredLog
from ..encoders import ndjson_lines
from ._pages import PAGE_ENTRIES, newest, read_page, reversed_lines
from ._slots import Slots

Pause = Callable[[float], Awaitable[bool]]

FIRST: Final = 10
POLL: Final = 0.2
_KEEP_ALIVE: Final = 15.0
_PAGE_SECONDS: Final = 1.0


class Newest:
    """The newest entry, asked for once for all streams of a worker."""

    def __init__(self) -> None:
        self._entry: StoredLog | None = None
        self._at = float("-inf")

    async def since(self, logs: LogStoragePort, moment: float) -> StoredLog | None:
        """The newest entry as of a moment after `moment` and not long ago; None where there is none."""
        now = monotonic()
        if self._at < moment or now - self._at >= POLL:
            entry = await newest(logs)
            if now >= self._at:
                self._entry, self._at = entry, now
            return entry
        return self._entry


async def follow(
    logs: LogStoragePort, query: LogQuery, shared: Newest, searches: Slots, pause: Pause, life: float
) -> AsyncGenerator[bytes, None]:
    """Lines as they are stored, after an empty chunk when the first reading went well; a blank line in long silence.

    It begins after `after`, at `since`, or with the newest 10, and ends after `life` seconds or when `pause` tells
    that the process is stopping; the reader goes on from its last cursor.
    """
    end = monotonic() + life
    begin, place = await _beginning(logs, query)
    yield b""
    asked = sent = monotonic()
    if begin:
        yield begin
    while monotonic() < end:
        lines, more = b"", False
        # What is being searched elsewhere, or cannot be read now, is looked for again in the next round.
        if not query.text or searches.take():
            try:
                place, lines, more, asked = await _step(logs, query, shared, place, asked)
            except StorageError:
                pass
            finally:
                if query.text:
                    searches.free()
        if lines or monotonic() - sent >= _KEEP_ALIVE:
            yield lines or b"\n"
            sent = monotonic()
        if await pause(0.0 if more else POLL):
            return


async def _beginning(logs: LogStoragePort, query: LogQuery) -> tuple[bytes, str]:
    """The first lines, and the cursor after which the rest is."""
    last = await newest(logs)
    if query.after or query.since is not None:
        if query.after:  # a cursor that cannot be is said before the first byte
            await read_page(logs, replace(query, limit=1), _PAGE_SECONDS)
        return b"", query.after
    if last is None:
        return b"", ""
    found = [last] if matches_log(query, last.entry) else []
    older = replace(query, order="desc", after=last.cursor, limit=FIRST - len(found))
    page = await read_page(logs, older, _PAGE_SECONDS)
    return reversed_lines(page.lines) + ndjson_lines(found), last.cursor


async def _step(
    logs: LogStoragePort, query: LogQuery, shared: Newest, place: str, asked: float
) -> tuple[str, bytes, bool, float]:
    """One look: the place after it, the lines, whether there may be more, and when the place was right.

    Where nothing answers, the place is the newest entry that was there before the look. It must not be older than
    the place: the newest entry is asked for after the place was found.
    """
    last = await shared.since(logs, asked)
    if last is None or last.cursor == place:
        return place, b"", False, asked
    asked = monotonic()
    page = await read_page(logs, replace(query, after=place, limit=PAGE_ENTRIES), _PAGE_SECONDS)
    if page.count or page.late:
        return page.cursor, page.lines, page.more, monotonic()
    return last.cursor, b"", False, asked
