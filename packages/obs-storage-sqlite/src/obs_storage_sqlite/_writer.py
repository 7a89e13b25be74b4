"""The thread that writes: a daemon, so that it never keeps a process from stopping, and works at exit."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from ._database import Database

T = TypeVar("T")
Job = tuple[Callable[[Database], Any], "Future[Any]"]


class Writer:
    """Runs jobs on a database, one after another, in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._opened: Future[str] = Future()
        self._thread = threading.Thread(target=self._run, args=(path,), name="obs-sqlite-writer", daemon=True)
        self._thread.start()

    async def opened(self) -> str:
        """Wait until the file is open; its generation. Raises what opening raised."""
        return await asyncio.wrap_future(self._opened)

    async def run(self, work: Callable[[Database], T]) -> T:
        """Run `work` in the thread. Raises what it raised; cancelled, it is done all the same."""
        done: Future[T] = Future()
        self._jobs.put((work, done))
        return await asyncio.wrap_future(done)

    async def close(self) -> None:
        """Finish what is queued, then close the file."""
        await self.run(lambda _: None)
        self._jobs.put(None)
        self._thread.join(timeout=1.0)

    def _run(self, path: Path) -> None:
        try:
            database = Database(path)
        except BaseException as error:  # given to whoever opens the storage
            self._opened.set_exception(error)
            return
        self._opened.set_result(database.generation)
        while (job := self._jobs.get()) is not None:
            work, done = job
            if not done.set_running_or_notify_cancel():
                continue
            try:
                done.set_result(work(database))
            except BaseException as error:  # given to whoever asked
                done.set_exception(error)
        database.close()
