"""A connection that reads: always closed, and left to itself where the disk hangs, so that it keeps nobody.

The driver runs each statement in a thread of the connection's own. That thread is inside SQLite for as long as the
statement runs, and not while a coroutine has the connection: else a fork would wait for what only the forking thread
can go on with.
"""

import asyncio
import os
import sqlite3
import threading
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import aiosqlite

from obs_core import StorageError

from ._forks import Connection, inside_sqlite

# Each has a thread.
_MOST: Final = 8
# Who finds no place looks again so often, so many times: in 5 s.
_LOOK: Final = 0.02
_LOOKS: Final = 250
# A loop that ends waits so long for a connection to be closed.
_LEAVE: Final = 0.5


class _Rows(sqlite3.Cursor):
    """Has all rows once the statement ran, and lets go of it, also where it failed.

    A connection whose statements are not all let go of is not closed by `close()`: it keeps the shared memory of its
    process alive, and what was opened to get away from damage would go on with it.
    """

    _all: list[Any]

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        try:
            super().execute(sql, parameters)
            self._all = super().fetchall()
        finally:
            self.close()  # the traceback of an error keeps the cursor
        return self

    def fetchall(self) -> list[Any]:
        return self._all


class _Reader(Connection):
    """What is inside SQLite here, a fork waits for; what is open, the child closes."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        with inside_sqlite():
            return self.cursor(_Rows).execute(sql, parameters)


class Places:
    """As many may read at once, in whatever loop; one that was given up has its place until its thread has ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        self._hang = False

    async def take(self, thread: threading.Thread, path: Path) -> None:
        """Take one for a thread that is about to start. Raises `StorageError` where none gets free in 5 s.

        Then the disk hangs: who comes until one has got free is told at once.
        """
        for _ in range(_LOOKS):
            if self._is_taken(thread):
                self._hang = False
                return
            if self._hang:
                break
            await asyncio.sleep(_LOOK)
        self._hang = True
        raise StorageError(f"{path} could not be read: the disk does not answer")

    def _is_taken(self, thread: threading.Thread) -> bool:
        with self._lock:
            free = sum(one.ident is None or one.is_alive() for one in self._threads) < _MOST
            if free:
                self._threads.add(thread)
            return free


@asynccontextmanager
async def reading(path: Path, places: Places) -> AsyncIterator[aiosqlite.Connection]:
    """A connection for one read transaction, which is closed at the end."""
    process = os.getpid()
    connection = aiosqlite.connect(
        _address(path),
        uri=True,
        timeout=1.0,
        isolation_level=None,
        check_same_thread=False,  # a child's thread is another one
        factory=partial(_Reader, path),
    )
    # Else the interpreter would wait at its end for a thread that waits for the disk. There is no public way.
    connection._thread.daemon = True
    await places.take(connection._thread, path)
    await connection
    patience = None
    try:
        await connection.execute_fetchall("BEGIN")
        yield connection
    except asyncio.CancelledError:
        patience = _LEAVE
        if process == os.getpid():
            await connection.interrupt()  # what only takes long ends now, and is closed
        raise
    finally:
        if process != os.getpid():
            # In a forked child its thread is not there, and nobody is to be told that it was not closed: it is.
            connection._connection = None
        elif (closed := connection.stop()) is not None:
            await asyncio.wait((closed,), timeout=patience)


def _address(path: Path) -> str:
    return f"{path.resolve().as_uri()}?mode=ro"
