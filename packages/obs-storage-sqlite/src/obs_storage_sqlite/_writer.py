"""The thread that writes: a daemon, so that it never keeps a process from stopping, and works at exit.

Where no thread can be started, as while an interpreter ends, jobs are done in the thread that asks.
"""

import asyncio
import sqlite3
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from obs_core import StorageClosedError, StorageError

from ._database import Database
from ._failures import code

T = TypeVar("T")
C = TypeVar("C")
Store = Callable[[sqlite3.Connection], None]
# What is to be done in the transaction for some batches; called outside of it.
Plan = Callable[[Sequence[C]], Store]
# Batches that wait together are committed together, up to so many bytes: the write-ahead log stays small.
_GROUP: Final = 2_000_000


class _Job:
    """Work on the database, or a batch to be stored, which may be committed along with others."""

    def __init__(
        self, work: Callable[[Database], Any] | None, plan: Plan[Any] | None, content: object, size: int
    ) -> None:
        self.work = work
        self.plan = plan
        self.content = content
        self.size = size
        self.result: Any = None
        self.error: BaseException | None = None
        self.loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Any] = self.loop.create_future()


class Writer:
    """Runs jobs on a database, one after another, in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._next: list[_Job | None] = []
        self._opened: Future[Database] = Future()
        self._closed: Future[None] = Future()
        self._path = path
        self._here: Database | None = None
        self._turn = threading.Lock()
        self._ended = False
        thread = threading.Thread(target=self._run, name="obs-sqlite-writer", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # A process that ends right after its start gives no new threads: whoever asks does the work.
            self._here = self._open()

    async def opened(self) -> None:
        """Wait until the file is open. Raises what opening raised."""
        await _end_of(self._opened)
        self._opened.result()

    def give_up(self) -> None:
        """Close as soon as it is open; nobody waits for that."""
        self._put(None)

    @property
    def generation(self) -> str:
        """The random name of the file's life; after a file was removed, that of the new one."""
        return self._opened.result().generation

    def doubt(self, error: sqlite3.Error) -> None:
        """Tell the thread that somebody could not read; nobody waits for what comes of it."""
        job = _Job(lambda database: database.reopen_if_doubted(error), None, None, 0)
        job.answer.cancel()
        self._put(job)

    async def run(self, work: Callable[[Database], T]) -> T:
        """Run `work` in the thread. Raises what it raised; cancelled, it is done all the same."""
        job = _Job(work, None, None, 0)
        self._put(job)
        result: T = await job.answer
        return result

    async def store(self, plan: Plan[C], content: C, size: int) -> None:
        """Store a batch; return when it is committed. `plan` is given those that are stored together by it."""
        job = _Job(None, plan, content, size)
        self._put(job)
        await job.answer

    async def close(self) -> None:
        """Finish what is queued, then close the file."""
        self._put(None)
        # Not a join in a thread: while the interpreter ends there are no new ones.
        with suppress(TimeoutError):
            await asyncio.wait_for(_end_of(self._closed), 5.0)

    def _put(self, job: _Job | None) -> None:
        self._jobs.put(job)
        if self._here is not None:
            with self._turn:
                while not self._ended and (self._next or not self._jobs.empty()):
                    self._do(self._here)
        if self._ended:
            self._refuse()

    def _run(self) -> None:
        database = self._open()
        while database is not None and self._do(database):
            pass

    def _open(self) -> Database | None:
        try:
            database = Database(self._path)
        except BaseException as error:  # given to whoever opens the storage
            self._opened.set_exception(error)
            return None
        self._opened.set_result(database)
        return database

    def _do(self, database: Database) -> bool:
        """The next job; False where it was to close."""
        job = self._take()
        if job is None:
            self._close(database)
            return False
        if job.work is not None:
            _run(job, job.work, database)
            _tell([job])
        else:
            self._store_group(database, self._gather(job))
        return True

    def _close(self, database: Database) -> None:
        try:
            database.close()
        except Exception as error:  # nobody waits for an answer any more
            sys.stderr.write(f"obs: {self._path} could not be closed: {error}\n")
        self._ended = True
        self._closed.set_result(None)
        self._refuse()

    def _refuse(self) -> None:
        """It is closed: tell those who came behind that, which a close in another thread can bring about."""
        with suppress(Empty):
            while True:
                job = self._jobs.get_nowait()
                if job is not None:
                    job.error = StorageClosedError(f"SQLiteStorage({str(self._path)!r})")
                    _tell([job])

    def _take(self) -> _Job | None:
        return self._next.pop() if self._next else self._jobs.get()

    def _gather(self, first: _Job) -> list[_Job]:
        """The batches that wait already, behind this one."""
        group, size = [first], first.size
        while size < _GROUP:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            if job is None or job.plan is None:
                self._next.append(job)
                break
            group.append(job)
            size += job.size
        return group

    def _store_group(self, database: Database, group: list[_Job]) -> None:
        try:
            database.transaction(_planned(group))
        except Exception as error:
            if len(group) > 1 and not _is_of_all(error):  # each gets an answer of its own
                for job in group:
                    self._store_group(database, [job])
                return
            for job in group:
                job.error = error
        _tell(group)


async def _end_of(future: Future[Any]) -> None:
    """Wait for it. Not by `wrap_future`: who is cancelled would cancel what the thread is about to answer."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def tell(_: Future[Any]) -> None:
        with suppress(RuntimeError):  # the loop ended meanwhile, and so did who waited
            loop.call_soon_threadsafe(ended.set)

    future.add_done_callback(tell)
    await ended.wait()


def _planned(group: Sequence[_Job]) -> Store:
    """Those of one plan, as far as they stand one behind another, are planned together."""
    stores = [
        plan([job.content for job in jobs]) for plan, jobs in groupby(group, lambda job: job.plan) if plan
    ]

    def store(connection: sqlite3.Connection) -> None:
        for one in stores:
            one(connection)

    return store


def _is_of_all(error: Exception) -> bool:
    """Whether the gate or the disk is at fault, and none of the batches: each alone would wait for them again."""
    cause = error.__cause__
    if isinstance(cause, sqlite3.OperationalError):
        return code(cause) != sqlite3.SQLITE_ERROR
    return isinstance(error, OSError) or (isinstance(error, StorageError) and cause is None)


def _run(job: _Job, work: Callable[[Database], Any], database: Database) -> None:
    """Do it, whether or not somebody still waits."""
    try:
        job.result = work(database)
    except BaseException as error:  # given to whoever asked
        job.error = error


def _tell(jobs: Sequence[_Job]) -> None:
    """Answer, waking each event loop once."""
    for loop, some in groupby(jobs, lambda job: job.loop):
        with suppress(RuntimeError):  # it ended meanwhile, and so did who waited
            loop.call_soon_threadsafe(_answer, list(some))


def _answer(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        if job.answer.done():  # given up
            continue
        if job.error is None:
            job.answer.set_result(job.result)
        else:
            job.answer.set_exception(job.error)
