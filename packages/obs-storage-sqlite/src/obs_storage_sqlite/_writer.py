"""The thread that writes: a daemon, so that it never keeps a process from stopping, and works at exit.

Where no thread can be started, as while an interpreter ends, jobs are done in the thread that asks.
"""

import asyncio
import sqlite3
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from ._database import Database

T = TypeVar("T")
Store = Callable[[sqlite3.Connection], None]
# Batches that wait together are committed together, up to so many bytes: the write-ahead log stays small.
_GROUP: Final = 2_000_000


class _Job:
    """Work on the database, or a batch to be stored, which may be committed along with others."""

    def __init__(self, work: Callable[[Database], Any] | None, store: Store | None, size: int) -> None:
        self.work = work
        self.store = store
        self.size = size
        self.done: Future[Any] = Future()


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
        thread = threading.Thread(target=self._run, name="obs-sqlite-writer", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # A process that ends right after its start gives no new threads: whoever asks does the work.
            self._here = self._open()

    async def opened(self) -> None:
        """Wait until the file is open. Raises what opening raised."""
        await asyncio.wrap_future(self._opened)

    @property
    def generation(self) -> str:
        """The random name of the file's life; after a file was removed, that of the new one."""
        return self._opened.result().generation

    async def run(self, work: Callable[[Database], T]) -> T:
        """Run `work` in the thread. Raises what it raised; cancelled, it is done all the same."""
        job = _Job(work, None, 0)
        self._put(job)
        result: T = await asyncio.wrap_future(job.done)
        return result

    async def store(self, store: Store, size: int) -> None:
        """Run `store` inside a write transaction that holds nothing but batches; return when it is committed."""
        job = _Job(None, store, size)
        self._put(job)
        await asyncio.wrap_future(job.done)

    async def close(self) -> None:
        """Finish what is queued, then close the file."""
        self._put(None)
        # Not a join in a thread: while the interpreter ends there are no new ones.
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(self._closed), 5.0)

    def _put(self, job: _Job | None) -> None:
        self._jobs.put(job)
        if self._here is not None:
            with self._turn:
                while self._next or not self._jobs.empty():
                    self._do(self._here)

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
            _finish(job, partial(job.work, database))
        else:
            self._store_group(database, self._gather(job))
        return True

    def _close(self, database: Database) -> None:
        try:
            database.close()
        except Exception as error:  # nobody waits for an answer any more
            sys.stderr.write(f"obs: {self._path} could not be closed: {error}\n")
        self._closed.set_result(None)

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
            if job is None or job.store is None:
                self._next.append(job)
                break
            group.append(job)
            size += job.size
        return group

    def _store_group(self, database: Database, group: list[_Job]) -> None:
        if len(group) == 1:
            _finish(group[0], lambda: database.transaction(_all(group)))
            return
        try:
            database.transaction(_all(group))
        except Exception:  # one of them may be at fault: each gets an answer of its own
            for job in group:
                self._store_group(database, [job])
        else:
            for job in group:
                _finish(job, lambda: None)


def _all(group: list[_Job]) -> Store:
    def store(connection: sqlite3.Connection) -> None:
        for job in group:
            if job.store is not None:
                job.store(connection)

    return store


def _finish(job: _Job, work: Callable[[], Any]) -> None:
    """Do it whether or not somebody still waits, and answer where somebody does."""
    waited_for = job.done.set_running_or_notify_cancel()
    try:
        result = work()
    except BaseException as error:  # given to whoever asked
        if waited_for:
            job.done.set_exception(error)
    else:
        if waited_for:
            job.done.set_result(result)
