"""The storage: one file, one owner in each process."""

import asyncio
import logging
import os
import time
import warnings
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import aiosqlite

from obs_core import Counted, Maintained, Registry, Storage, StorageClosedError, StorageError

from ._database import Database
from ._files import allocated, checked_path, set_aside_files, size_on_disk
from ._forks import is_forking
from ._logs import SQLiteLogs
from ._maintenance import maintain
from ._metrics import SQLiteMetrics
from ._reading import Places, reading
from ._schema import VERSION
from ._verify import Problem, verify
from ._writer import Plan, Writer
from ._writers import Batches

T = TypeVar("T")
C = TypeVar("C")
_PATIENCE: Final = 5.0
# A reader waits so many times so long: time in which the loop of the host stood still does not count.
_WAITS: Final = 10
# So long after it was closed, or after a fork, a reader waits whether it opens again, looking so often.
_MOMENT: Final = 0.25
_LOOK: Final = 0.005


class SQLiteStorage:
    """Logs and metrics in the SQLite file at `path`; the constructor opens nothing.

    A write that returned is committed with `synchronous=FULL`: it survives `kill -9` and a power cut. Any number
    of processes may use the file at once. Opening raises `StorageError` for a file that belongs to another
    application or to a newer release, and leaves it as it is; a damaged file is kept under the name
    `NAME.corrupt-TIME-ID`, and a new one begins.
    """

    _writer: Writer | None = None

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = checked_path(path)
        self._pid = 0
        self._places = Places()
        self._opening = False
        self._until = 0.0
        self.batches, self.metric_batches = Batches(), Batches()
        self._registry = Registry()
        self._logs = SQLiteLogs(self)
        self._metrics = SQLiteMetrics(self)

    @property
    def logs(self) -> SQLiteLogs:
        return self._logs

    @property
    def metrics(self) -> SQLiteMetrics:
        return self._metrics

    @property
    def registry(self) -> Registry:
        """What it counts in this process: blocks that were found damaged, and what is left out with them."""
        return self._registry

    @property
    def path(self) -> Path | None:
        return self._path

    @property
    def generation(self) -> str:
        """The random name of the file's life; a new file has another."""
        return self._open_writer().generation

    async def __aenter__(self) -> Self:
        _quieten_driver()
        writer = Writer(self._path)
        self._opening = True
        try:
            await writer.opened()
            await writer.run(Database.make_reserve)
        except BaseException:
            writer.give_up()
            raise
        finally:
            self._opening = False
        self._writer, self._pid = writer, os.getpid()
        if self.batches.process != self._pid:  # a forked child would share the numbers with its parent
            self.batches, self.metric_batches = Batches(), Batches()
            self._places = Places()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        writer, self._writer = self._writer, None
        self._until = time.monotonic() + _MOMENT
        if writer is not None and self._pid == os.getpid():
            await writer.close()

    def __del__(self) -> None:
        if self._writer is not None and self._pid == os.getpid():
            warnings.warn(f"{self._path} was never closed: use `async with`", ResourceWarning, stacklevel=2)

    async def size(self) -> int:
        """Bytes of the database, its journals, the reserve and what was set aside, as the file system counts."""
        return size_on_disk(self._path)

    async def run(self, work: Callable[[Database], T]) -> T:
        """Run a job on the writing connection."""
        return await self._open_writer().run(work)

    async def store(self, plan: Plan[C], content: C, size: int) -> None:
        """Store a batch in a write transaction, of its own or with other batches."""
        await self._open_writer().store(plan, content, size)

    async def read(self, work: Callable[[aiosqlite.Connection], Awaitable[T]]) -> T:
        """Run queries in one read transaction, on a connection that is closed before this returns.

        Raises `StorageError` where the file does not answer for 5 s: a page takes milliseconds, so the disk hangs.
        The connection is closed once it answers; meanwhile few wait for it.
        """
        await self._reopened()
        # A connection is never left in the middle of a query: one that was given up ends by itself.
        task = asyncio.ensure_future(self._read(work))
        task.add_done_callback(_seen)
        for _ in range(_WAITS):
            done, _ = await asyncio.wait((task,), timeout=_PATIENCE / _WAITS)
            if done:
                return task.result()
        raise StorageError(f"{self._path} could not be read within {_PATIENCE:.0f} s")

    async def _read(self, work: Callable[[aiosqlite.Connection], Awaitable[T]]) -> T:
        try:
            async with reading(self._path, self._places) as connection:
                try:
                    return await work(connection)
                except aiosqlite.OperationalError:
                    await self._refuse_newer(connection)
                    raise
        except aiosqlite.Error as error:
            self._open_writer().doubt(error)
            raise StorageError(f"{self._path} could not be read: {error}") from error

    async def _refuse_newer(self, connection: aiosqlite.Connection) -> None:
        """A newer release may have upgraded the file meanwhile: then say so, not which table is missing."""
        ((version,),) = await connection.execute_fetchall("PRAGMA user_version")
        if version > VERSION:
            raise StorageError(
                f"{self._path} has schema version {version} now, this release knows {VERSION}:"
                " its history can be read by the newer release"
            )

    async def fetch(self, sql: str, values: Sequence[Any]) -> list[Any]:
        """All rows of one query."""

        async def rows(connection: aiosqlite.Connection) -> list[Any]:
            return list(await connection.execute_fetchall(sql, values))

        return await self.read(rows)

    async def maintain(self) -> bool:
        """One short step of what keeps the file small and quick; whether there may be more to do."""
        return await maintain(self, self._logs.damage, self._metrics.damage, self._metrics.unused)

    async def set_aside(self) -> int:
        """Bytes of the damaged files that are kept beside it."""
        return sum(map(allocated, set_aside_files(self._path)))

    async def verify(self) -> list[Problem]:
        """Check every block's checksums, and every header against its content; what is wrong, and where."""
        return [problem async for problem in verify(self)]

    async def _reopened(self) -> None:
        """A runtime closes for each fork, and opens again after the last: who reads waits for that, for 5 s."""
        deadline = time.monotonic() + _PATIENCE
        while self._may_open() and time.monotonic() < deadline:  # noqa: ASYNC110  # in another thread's loop
            await asyncio.sleep(_LOOK)
        self.check()

    def _may_open(self) -> bool:
        soon = self._opening or time.monotonic() < self._until or is_forking(_MOMENT)
        return self._writer is None and soon

    def check(self) -> None:
        """Raise `StorageClosedError` unless it is open in this process."""
        self._open_writer()

    def _open_writer(self) -> Writer:
        # A forked child has its parent's objects but not the thread, and must not use the connection.
        if self._writer is None or self._pid != os.getpid():
            raise StorageClosedError(f"SQLiteStorage({str(self._path)!r})")
        return self._writer


def _quieten_driver() -> None:
    """At DEBUG it logs every statement: no lines for a host that asked for DEBUG of its own, unless it set this one."""
    driver = logging.getLogger("aiosqlite")
    if driver.level == logging.NOTSET:
        driver.setLevel(logging.INFO)


def _seen(task: "asyncio.Task[Any]") -> None:
    """Nobody may be left to look at the failure of a query that was given up."""
    if not task.cancelled():
        task.exception()


if TYPE_CHECKING:
    _: type[Storage] = SQLiteStorage
    _maintained: type[Maintained] = SQLiteStorage
    _counted: type[Counted] = SQLiteStorage
