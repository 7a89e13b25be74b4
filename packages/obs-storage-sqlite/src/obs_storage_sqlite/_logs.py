"""Log entries: a row for each, read in pages."""

import sqlite3
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from obs_core import SEVERITY, LogEntry, LogQuery, LogStoragePort, StoredLog, matches_log
from obs_core.cursors import cursor_text, parse_cursor

from ._database import Database
from ._rows import Resource, batch_is_new, delete, keep_newest

_PAGE: Final = 1000
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(LogEntry).decode
_INSERT: Final = (
    "INSERT INTO logs (timestamp, level, severity, size, record, checksum) VALUES (?, ?, ?, ?, ?, ?)"
)
# What a row costs beside its record: its columns, its place in the tree and in the index.
_OVERHEAD: Final = 60


class SQLiteLogs:
    """The `LogStoragePort` of a `SQLiteStorage`."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self.damaged = 0

    async def write(self, entries: Sequence[LogEntry]) -> None:
        rows = [_row(entry) for entry in entries]
        batch = self._resource.next_batch()

        def store(connection: sqlite3.Connection) -> None:
            if batch_is_new(connection, batch, time.time()):
                connection.executemany(_INSERT, rows)

        def work(database: Database) -> None:
            if rows:
                database.transaction(store)

        await self._resource.run(work)

    async def read(self, query: LogQuery) -> AsyncIterator[StoredLog]:
        generation = self._resource.generation
        newest_first = query.order == "desc"
        place = parse_cursor(query.after, generation) if query.after else None
        found = 0
        while True:
            sql, values = _page(query, place, newest_first)
            rows = await self._resource.fetch(sql, values)
            for place, record, checksum in rows:
                entry = self._entry(record, checksum)
                if entry is not None and matches_log(query, entry):
                    yield StoredLog(cursor_text(generation, place), entry)
                    found += 1
                    if found == query.limit:
                        return
            if len(rows) < _PAGE:
                return

    async def delete_before(self, timestamp: float, *, level: str | None = None) -> int:
        condition, values = _of_level(level)
        return await delete(self._resource, "logs", f"{condition} AND timestamp < ?", [*values, timestamp])

    async def keep_newest(self, count: int, *, level: str | None = None) -> int:
        return await keep_newest(self._resource, "logs", count, *_of_level(level))

    async def shrink(self, max_bytes: int, *, level: str | None = None) -> int:
        condition, values = _of_level(level)
        deleted = 0
        while (excess := await self.size(level=level) - max_bytes) > 0:
            last = await self._last_of(excess, condition, values)
            if last is None:
                break
            deleted += await delete(self._resource, "logs", f"{condition} AND id <= ?", [*values, last])
        return deleted

    async def count(self, *, level: str | None = None) -> int:
        condition, values = _of_level(level)
        return int((await self._resource.fetch(f"SELECT count(*) FROM logs WHERE {condition}", values))[0][0])  # noqa: S608

    async def size(self, *, level: str | None = None) -> int:
        """An estimate of the bytes in the file: the records and what their rows cost."""
        condition, values = _of_level(level)
        sql = f"SELECT coalesce(sum(size), 0) FROM logs WHERE {condition}"  # noqa: S608
        return int((await self._resource.fetch(sql, values))[0][0])

    async def _last_of(self, excess: int, condition: str, values: Sequence[Any]) -> int | None:
        """The id up to which the oldest rows hold `excess` bytes."""
        sql = f"SELECT id, size FROM logs WHERE {condition} AND id > ? ORDER BY id LIMIT {_PAGE}"  # noqa: S608
        last = 0
        while rows := await self._resource.fetch(sql, [*values, last]):
            for row, size in rows:
                last = int(row)
                excess -= size
                if excess <= 0:
                    return last
        return last or None

    def _entry(self, record: bytes, checksum: int) -> LogEntry | None:
        """The entry, or None for a damaged row, which is counted and costs no other row."""
        if zlib.crc32(record) == checksum:
            return _decode(record)
        self.damaged += 1
        return None


def _row(entry: LogEntry) -> tuple[float, str, int, int, bytes, int]:
    if not isinstance(entry, LogEntry):
        raise TypeError(f"LogEntry is needed, not {entry!r}: nothing of the batch was stored")
    record = _encode(entry)
    return (
        entry.timestamp,
        entry.level,
        SEVERITY[entry.level],
        len(record) + _OVERHEAD,
        record,
        zlib.crc32(record),
    )


def _page(query: LogQuery, place: int | None, newest_first: bool) -> tuple[str, list[Any]]:
    """The next page of candidates; what SQL cannot tell, `matches_log` does."""
    conditions, values = ["severity >= ?"], [float(query.severity)]
    for bound, condition in (
        (query.since, "timestamp >= ?"),
        (query.until, "timestamp < ?"),
        (place, "id < ?" if newest_first else "id > ?"),
    ):
        if bound is not None:
            conditions.append(condition)
            values.append(bound)
    order = "DESC" if newest_first else "ASC"
    # `+timestamp` keeps SQLite from taking the index on it: rows are found by id, so that a page never sorts the table.
    where = " AND ".join(conditions).replace("timestamp", "+timestamp")
    return f"SELECT id, record, checksum FROM logs WHERE {where} ORDER BY id {order} LIMIT {_PAGE}", values  # noqa: S608


def _of_level(level: str | None) -> tuple[str, list[Any]]:
    return ("1", []) if level is None else ("level = ?", [level])


if TYPE_CHECKING:
    _: type[LogStoragePort] = SQLiteLogs
