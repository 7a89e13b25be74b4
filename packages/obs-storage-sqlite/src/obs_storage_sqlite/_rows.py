"""What both tables share: pages of reading, and deletions in small steps."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

from ._database import Database

T = TypeVar("T")
STEP: Final = 2000


class Resource(Protocol):
    """What the ports need of the storage that owns them."""

    async def run(self, work: Callable[[Database], T]) -> T: ...

    async def fetch(self, sql: str, values: Sequence[Any]) -> list[Any]: ...

    def next_batch(self) -> tuple[str, int]: ...

    @property
    def generation(self) -> str: ...


async def delete(resource: Resource, table: str, condition: str, values: Sequence[Any]) -> int:
    """Delete rows, some at a time so that other writers do not wait, then give the space back; how many."""
    sql = (
        f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE {condition} ORDER BY id LIMIT {STEP})"  # noqa: S608  # our own texts
    )

    def step(connection: sqlite3.Connection) -> int:
        return connection.execute(sql, values).rowcount

    deleted = 0
    while True:
        count = await resource.run(lambda database: database.transaction(step))
        deleted += count
        if count < STEP:
            break
    if deleted:
        while await resource.run(lambda database: database.reclaim()):
            pass
        await resource.run(lambda database: database.checkpoint())
    return deleted


async def keep_newest(
    resource: Resource, table: str, count: int, condition: str, values: Sequence[Any]
) -> int:
    """Delete all rows of a condition but the `count` last ones; how many."""
    newest = f"SELECT id FROM {table} WHERE {condition} ORDER BY id DESC LIMIT 1 OFFSET ?"  # noqa: S608
    rows = await resource.fetch(newest, [*values, count])
    return await delete(resource, table, f"{condition} AND id <= ?", [*values, rows[0][0]]) if rows else 0


def batch_is_new(connection: sqlite3.Connection, batch: tuple[str, int], now: float) -> bool:
    """Note a batch in its own transaction; False where it is in already."""
    incarnation, number = batch
    row = connection.execute("SELECT number FROM batches WHERE incarnation = ?", (incarnation,)).fetchone()
    if row is not None and row[0] >= number:
        return False
    connection.execute(
        "INSERT OR REPLACE INTO batches VALUES (?, ?, ?)",
        (incarnation, number, now),
    )
    if row is None:
        connection.execute("DELETE FROM batches WHERE stored < ?", (now - 86_400,))
    return True
