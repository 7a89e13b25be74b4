"""The connection that writes: whose file it is, how it is set up, and whether it is whole."""

import secrets
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from obs_core import StorageError

from ._failures import code, is_busy
from ._forks import Connection, inside_sqlite
from ._gate import pause
from ._migration import begin_upgrade
from ._schema import APPLICATION_ID, PAGE, VERSION, create

T = TypeVar("T")
# A writer waits this long for others before it gives an error; its queue keeps what could not be written.
PATIENCE: Final = 5.0
# A checkpoint copies each page once, however often it was written: the longer the log, the less is copied; but with
# the batch that comes last it must fit into the reserve.
_WAL: Final = 6_000_000
# Looking over a large file on a cold disk may take minutes; then what is damaged is found when it is read.
_LOOK: Final = 1.0


def connect(path: Path) -> sqlite3.Connection:
    """Open and set up, or create. Call it under the gate. Raises `StorageError` for a file that is not ours."""
    with inside_sqlite():
        connection = Connection(path, str(path), timeout=0, isolation_level=None, check_same_thread=False)
        return _set_up(connection, path)


def _set_up(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    try:
        _refuse_strangers(connection, path)
        connection.execute(f"PRAGMA page_size={PAGE}")
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        retried(lambda: connection.execute("PRAGMA journal_mode=WAL").fetchall())
        connection.execute("PRAGMA synchronous=FULL")
        # Some builds write zeros over each page that is freed: twice what a merge writes, for twice as long.
        connection.execute("PRAGMA secure_delete=FAST").fetchall()
        connection.execute("PRAGMA busy_timeout=0")
        connection.execute(f"PRAGMA journal_size_limit={_WAL}")
        (page,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA wal_autocheckpoint={_WAL // page}").fetchall()
        if sys.platform == "darwin":
            connection.execute("PRAGMA fullfsync=1")
        _create(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def look_over(connection: sqlite3.Connection, seconds: float = _LOOK) -> None:
    """Raise `sqlite3.DatabaseError` (SQLITE_CORRUPT) for damage that `quick_check` finds in so many seconds."""
    deadline = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
    try:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if code(error) != sqlite3.SQLITE_INTERRUPT:
            raise
        return
    finally:
        connection.set_progress_handler(None, 0)
    if found != "ok":
        damage = sqlite3.DatabaseError(" ".join(found.split()))
        damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damage


def retried(work: Callable[[], T]) -> T:
    """Do it, again while others are busy, for at most `PATIENCE` seconds."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            pause()


def refuse_changed(connection: sqlite3.Connection, path: Path) -> None:
    """Raise `StorageError` where another release changed the layout under us."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        raise StorageError(
            f"{path} has schema version {version} now, this release knows {VERSION}:"
            " nothing is written until it is upgraded"
        )


def copy_log(connection: sqlite3.Connection, patience: float = 0.1) -> bool:
    """Bring the write-ahead log into the file, and cut it to nothing; False where a reader was in the way so long."""
    with inside_sqlite():
        connection.execute(f"PRAGMA busy_timeout={patience * 1000:.0f}")
        try:
            ((busy, *_),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return not busy
        finally:
            connection.execute("PRAGMA busy_timeout=0")


def give_pages(connection: sqlite3.Connection, pages: int) -> None:
    """Give so many free pages back to the file system, inside a transaction."""
    # One for each call: the statement gives no rows, so that `sqlite3` never steps it twice.
    for _ in range(pages):
        connection.execute("PRAGMA incremental_vacuum(1)").close()


def _refuse_strangers(connection: sqlite3.Connection, path: Path) -> None:
    """Before anything is changed: a newer file or somebody else's is left as it is."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise StorageError(f"{path} belongs to another application: name another file")
    if application == APPLICATION_ID and version > VERSION:
        raise StorageError(
            f"{path} has schema version {version}, this release knows {VERSION}: install a newer release"
        )


def _create(connection: sqlite3.Connection) -> None:
    retried(lambda: connection.execute("BEGIN IMMEDIATE"))
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if not version:
            create(connection, secrets.token_hex(8))
        elif version < VERSION:
            begin_upgrade(connection, version)
        connection.execute("COMMIT")
    except BaseException:
        # On a full disk SQLite has rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
