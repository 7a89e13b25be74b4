"""A connection that reads: always closed, and left to itself where the disk hangs, so that it keeps nobody.

The driver runs each statement in a thread of the connection's own. That thread is inside SQLite for as long as the
statement runs, and not while a coroutine has the connection: else a fork would wait for what only the forking thread
can go on with.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import aiosqlite

from ._forks import Connection, inside_sqlite

# So many that hang are enough to know that the next one would too; each has a thread.
MOST: Final = 8
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


@asynccontextmanager
async def reading(path: Path) -> AsyncIterator[aiosqlite.Connection]:
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
