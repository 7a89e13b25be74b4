"""The storage: one file, one owner in each process."""

import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import aiosqlite

from obs_core import Storage, StorageClosedError, StorageError

from ._database import Database
from ._logs import SQLiteLogs
from ._metrics import SQLiteMetrics
from ._writer import Writer

T = TypeVar("T")


class SQLiteStorage:
    """Logs and metrics in the SQLite file at `path`; the constructor opens nothing.

    A write that returned is committed with `synchronous=FULL`: it survives `kill -9` and a power cut. Any number
    of processes may use the file at once. Opening raises `StorageError` for a file that belongs to another
    application or to a newer release, and leaves it as it is; a damaged file is kept under the name
    `NAME.corrupt-TIME-ID`, and a new one begins.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._writer: Writer | None = None
        self._pid = 0
        self._generation = ""
        self._logs = SQLiteLogs(self)
        self._metrics = SQLiteMetrics(self)

    @property
    def logs(self) -> SQLiteLogs:
        return self._logs

    @property
    def metrics(self) -> SQLiteMetrics:
        return self._metrics

    @property
    def path(self) -> Path | None:
        return self._path

    @property
    def generation(self) -> str:
        """The random name of the file's life; a new file has another."""
        self._open_writer()
        return self._generation

    async def __aenter__(self) -> Self:
        writer = Writer(self._path)
        self._generation = await writer.opened()
        self._writer, self._pid = writer, os.getpid()
        self._incarnation, self._number = secrets.token_hex(8), 0
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        writer, self._writer = self._writer, None
        if writer is not None and self._pid == os.getpid():
            await writer.close()

    async def size(self) -> int:
        """Bytes of the database, its write-ahead log and what was set aside."""
        size = 0
        for path in self._path.parent.glob(f"{self._path.name}*"):
            with suppress(FileNotFoundError):
                size += path.stat().st_size if path.is_file() else 0
        return size

    async def run(self, work: Callable[[Database], T]) -> T:
        """Run a job on the writing connection."""

        def noted(database: Database) -> T:
            result = work(database)
            self._generation = database.generation
            return result

        return await self._open_writer().run(noted)

    async def fetch(self, sql: str, values: Sequence[Any]) -> list[Any]:
        """All rows of a small query, on a connection that is closed at once: nothing is held between two."""
        self._open_writer()
        try:
            async with (
                aiosqlite.connect(
                    f"{self._path.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0
                ) as connection,
                connection.execute(sql, values) as cursor,
            ):
                return list(await cursor.fetchall())
        except aiosqlite.Error as error:
            raise StorageError(f"{self._path} could not be read: {error}") from error

    def next_batch(self) -> tuple[str, int]:
        """The identity of a batch: who writes it, and a number that grows."""
        self._open_writer()
        self._number += 1
        return self._incarnation, self._number

    def _open_writer(self) -> Writer:
        # A forked child has its parent's objects but not the thread, and must not use the connection.
        if self._writer is None or self._pid != os.getpid():
            raise StorageClosedError(f"SQLiteStorage({str(self._path)!r})")
        return self._writer


if TYPE_CHECKING:
    _: type[Storage] = SQLiteStorage
