"""A connection that reads: always closed, and left to itself where the disk hangs, so that it keeps nobody."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiosqlite

# So many that hang are enough to know that the next one would too; each has a thread.
MOST: Final = 8
# A loop that ends waits so long for a connection to be closed.
_LEAVE: Final = 0.5


@asynccontextmanager
async def reading(path: Path) -> AsyncIterator[aiosqlite.Connection]:
    """A connection for one read transaction, which is closed at the end."""
    connection = aiosqlite.connect(_address(path), uri=True, timeout=1.0, isolation_level=None)
    # Else the interpreter would wait at its end for a thread that waits for the disk. There is no public way.
    connection._thread.daemon = True
    await connection
    patience = None
    try:
        await connection.execute_fetchall("BEGIN")
        yield connection
    except asyncio.CancelledError:
        patience = _LEAVE
        await connection.interrupt()  # what only takes long ends now, and is closed
        raise
    finally:
        closed = connection.stop()
        if closed is not None:
            await asyncio.wait((closed,), timeout=patience)


def _address(path: Path) -> str:
    return f"{path.resolve().as_uri()}?mode=ro"
