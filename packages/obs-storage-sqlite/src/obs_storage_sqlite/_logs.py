"""The port of log entries."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from obs_core import LogEntry, LogQuery, LogStoragePort, StoredLog
from obs_core.cursors import cursor_text

from ._database import Database
from ._deletion import TABLES, Selection, delete, newest_kept, oldest_of
from ._flushes import pieces
from ._headers import CREDIBLE, column_of, size_column_of
from ._looking import Damage, answers_of
from ._maintenance import compact
from ._paging import Page, Pager, together
from ._resource import Resource
from ._storing import Waiting, checksum, plan


class SQLiteLogs:
    """The `LogStoragePort` of a `SQLiteStorage`. `damage` counts the blocks that could not be read."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self.damage = Damage(resource.registry, "logs")
        self.use_filters = True

    async def write(self, entries: Sequence[LogEntry]) -> None:
        encoded = pieces(entries)
        self._resource.check()
        if not encoded:
            return
        batches = self._resource.batches
        batch = batches.begin(entries, lambda: checksum(encoded))
        size = sum(len(piece.body) for piece in encoded)
        try:
            await self._resource.store(plan, Waiting(batch, encoded), size)
        except BaseException:
            batches.failed(entries, checksum(encoded), size, batch)
            raise

    async def read(self, query: LogQuery) -> AsyncIterator[StoredLog]:
        pager = Pager(query, self.damage, use_filters=self.use_filters)
        left = query.limit
        while not pager.finished:
            page: Page = await self._resource.read(pager.page)
            for blocks in together(query, page.blocks):
                found = await asyncio.to_thread(answers_of, blocks, query, page.start, left, self.damage)
                for number, entry in found:
                    yield StoredLog(cursor_text(pager.generation, number), entry)
                left = None if left is None else left - len(found)
                if left == 0:
                    return
            if query.progress is not None and page.place is not None and not pager.finished:
                query.progress(cursor_text(pager.generation, page.place))

    async def delete_before(self, timestamp: float, *, level: str | None = None) -> int:
        return await self._delete(Selection(before=timestamp, level=level))

    async def keep_newest(self, count: int, *, level: str | None = None) -> int:
        await self._mend()
        upto = await self._resource.run(lambda database: newest_kept(database, count, level))
        return await self._delete(Selection(upto=upto, level=level)) if upto else 0

    async def shrink(self, max_bytes: int, *, level: str | None = None) -> int:
        await self._mend()
        # What was deleted by level is given back first, else younger entries of other levels paid for it.
        while level is None and await self.size() > max_bytes and await compact(self._resource, self.damage):
            pass
        deleted = 0
        while (excess := await self.size(level=level) - max_bytes) > 0:
            upto = await self._resource.run(partial(oldest_of, excess=excess, level=level))
            count = await self._delete(Selection(upto=upto, level=level)) if upto else 0
            deleted += count
            if not count:
                break
        return deleted

    async def count(self, *, level: str | None = None) -> int:
        return await self._sum(column_of(level))

    async def size(self, *, level: str | None = None) -> int:
        """Bytes in the file; for a level, its share of those that are not gone."""
        return await self._sum(size_column_of(level))

    async def _sum(self, expression: str) -> int:
        sums = [f"SELECT sum({expression}) FROM {table} WHERE {CREDIBLE}" for table in TABLES]  # noqa: S608
        sql = " UNION ALL ".join(sums)
        return sum(row[0] or 0 for row in await self._resource.fetch(sql, ()))

    async def _mend(self) -> None:
        """Before anything is deleted by number or size: what a damaged header holds is not counted."""
        await self._resource.run(lambda database: delete(database, Selection(upto=0), self.damage))

    async def _delete(self, selection: Selection) -> int:
        deleted = await self._resource.run(lambda database: delete(database, selection, self.damage))
        if deleted:
            await self._resource.run(Database.give_back)
        return deleted


if TYPE_CHECKING:
    _: type[LogStoragePort] = SQLiteLogs
