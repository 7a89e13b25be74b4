"""Log entries in pages of NDJSON: read to the end and closed before any of it is sent.

So nothing is held open in the storage while a client takes its time, and no page is larger than a chunk may be.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from time import monotonic
from typing import Final

import msgspec
from msgspec.structs import replace

from .._ports import LogStoragePort
from .._queries import LogQuery
from .._records import StoredLog
from ..encoders import ndjson_lines

PAGE_ENTRIES: Final = 1000
PAGE_BYTES: Final = 1_000_000
# What was found from the newest end is given without a second reading, as long as it is not more than this.
_KEPT_BYTES: Final = 2 * PAGE_BYTES


class Page(msgspec.Struct, frozen=True):
    """`cursor` is where to go on; `more` says that there may be something, `late` that the time was up."""

    lines: bytes
    count: int
    cursor: str
    more: bool
    late: bool


class _Newest(msgspec.Struct, frozen=True):
    """What was found from the newest end: `pages` of lines, the oldest first, or None where they are too many to keep.

    `place` is the cursor before them then, "" where there is none, and `older` the cursor down to which was
    looked when the time was up.
    """

    pages: list[bytes] | None
    place: str
    older: str


class _TimeIsUpError(Exception):
    """The storage looked at all up to `cursor`."""

    def __init__(self, cursor: str) -> None:
        self.cursor = cursor


async def read_page(logs: LogStoragePort, query: LogQuery, seconds: float) -> Page:
    """The first entries that answer the query: as many as a page holds, or as can be found in so many seconds."""
    deadline = monotonic() + seconds

    def watch(cursor: str) -> None:
        if monotonic() > deadline:
            raise _TimeIsUpError(cursor)

    limit = min(query.limit or PAGE_ENTRIES, PAGE_ENTRIES)
    lines, count, cursor, late = bytearray(), 0, query.after, False
    entries = logs.read(replace(query, limit=limit, progress=watch))
    try:
        async for stored in entries:
            lines += ndjson_lines((stored,))
            count += 1
            cursor = stored.cursor
            late = monotonic() > deadline
            if late or len(lines) >= PAGE_BYTES:
                break
    except _TimeIsUpError as up:
        cursor, late = up.cursor, True
    finally:
        await close(entries)
    return Page(bytes(lines), count, cursor, late or count == limit or len(lines) >= PAGE_BYTES, late)


async def found(logs: LogStoragePort, query: LogQuery, seconds: float) -> AsyncGenerator[bytes, None]:
    """The lines that answer the query, after an empty chunk when the first page is read.

    Where neither `since` nor `after` is asked, it is the newest `limit`, the oldest of them first. After so many
    seconds of reading (a client may take longer) the last line says where to go on.
    """
    left, spent, older = query.limit or PAGE_ENTRIES, 0.0, ""
    if query.since is None and not query.after and query.order == "asc":
        asked = monotonic()
        last = await _newest_answers(logs, query, seconds)
        older = last.older
        if last.pages is not None:
            yield b""
            for lines in filter(None, last.pages):
                yield lines
            if older:
                yield _incomplete(older, "desc")
            return
        # What was found in time is given, and has as much time again.
        query, spent = replace(query, after=last.place), 0.0 if older else monotonic() - asked
    begun = False
    while left:
        asked = monotonic()
        page = await read_page(logs, replace(query, limit=left), seconds - spent)
        spent += monotonic() - asked
        if not begun:
            begun = True
            yield b""
        if page.lines:
            yield page.lines
        if page.late:
            yield _incomplete(page.cursor, query.order)
            return
        query, left = replace(query, after=page.cursor), (left - page.count) if page.more else 0
    if older:
        yield _incomplete(older, "desc")


def reversed_lines(lines: bytes) -> bytes:
    """The same lines, the last of them first."""
    return b"".join(lines.splitlines(keepends=True)[::-1])


async def newest(logs: LogStoragePort) -> StoredLog | None:
    """The entry that was stored last."""
    return await _first(logs, LogQuery(order="desc", limit=1))


async def _newest_answers(logs: LogStoragePort, query: LogQuery, seconds: float) -> _Newest:
    """The newest `limit` entries that answer the query, looked for from the newest end."""
    left, oldest, size = query.limit or PAGE_ENTRIES, "", 0
    pages: list[bytes] = []
    deadline = monotonic() + seconds
    while True:
        backwards = replace(query, order="desc", limit=left, after=oldest)
        page = await read_page(logs, backwards, deadline - monotonic())
        left, oldest, size = left - page.count, page.cursor, size + len(page.lines)
        # Once they are too many, only their place is looked for.
        pages = [reversed_lines(page.lines), *pages] if size <= _KEPT_BYTES else []
        if page.late or not page.more or left <= 0:
            break
    older = oldest if page.late else ""
    if size <= _KEPT_BYTES:
        return _Newest(pages, "", older)
    return _Newest(None, await _before(logs, oldest) if page.more else "", older)


async def _before(logs: LogStoragePort, cursor: str) -> str:
    """The cursor of the entry before this one, "" where it is the first."""
    stored = await _first(logs, LogQuery(order="desc", limit=1, after=cursor))
    return stored.cursor if stored else ""


async def _first(logs: LogStoragePort, query: LogQuery) -> StoredLog | None:
    entries = logs.read(query)
    try:
        return await anext(entries, None)
    finally:
        await close(entries)


async def close(entries: AsyncIterator[StoredLog]) -> None:
    """A storage reads by an async generator as a rule; another iterator has nothing to close."""
    if isinstance(entries, AsyncGenerator):
        await entries.aclose()


def _incomplete(cursor: str, order: str) -> bytes:
    going_on = f"order=desc&after={cursor}" if order == "desc" else f"after={cursor}"
    line = {"cursor": cursor, "incomplete": f"the time limit passed: go on with {going_on}"}
    return msgspec.json.encode(line) + b"\n"
