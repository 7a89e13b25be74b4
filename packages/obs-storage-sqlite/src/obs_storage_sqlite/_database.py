"""The one connection that writes: opening, checking, transactions, giving space back."""

import secrets
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, TypeVar

from obs_core import StorageError

from ._gate import Gate, create_private, pause
from ._schema import APPLICATION_ID, SCHEMA, VERSION

T = TypeVar("T")

# A writer waits this long for others before it gives an error; its queue keeps what could not be written.
PATIENCE: Final = 5.0
MAX_SET_ASIDE: Final = 3
_DAMAGED: Final = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class Database:
    """Used by one thread. The constructor opens and, where it must, creates or sets aside the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.gate = Gate(path.with_name(f"{path.name}-lock"))
        try:
            create_private(path)
            self._connection = self._open()
        except OSError as error:
            raise StorageError(f"{path} cannot be opened: {error.strerror}: choose another folder") from error
        self.generation: str = self._one("SELECT id FROM generation")
        self._identity = _identity(path)
        self._looked = time.monotonic()

    def transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one write transaction, committed with `synchronous=FULL`. Raises `StorageError`."""
        self._notice_replacement()
        try:
            with self.gate.held(PATIENCE):
                return self._committed(work)
        except sqlite3.Error as error:
            raise StorageError(f"{self.path} could not be written: {error}") from error

    def reclaim(self) -> None:
        """Give free pages back to the file system in small steps, and empty the write-ahead log."""
        while self.transaction(lambda connection: _vacuum(connection, 500)):
            pass
        with suppress(sqlite3.OperationalError), self.gate.held(PATIENCE):
            self._connection.execute("PRAGMA busy_timeout=100")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._connection.execute("PRAGMA busy_timeout=0")

    def close(self) -> None:
        """Close; the last one of all processes removes the write-ahead log."""
        self._connection.close()
        self.gate.close()

    def _open(self) -> sqlite3.Connection:
        """Under the gate, so that of several processes one alone creates, or sets aside."""
        with self.gate.held(PATIENCE):
            for _ in range(2):
                try:
                    return self._connect()
                except sqlite3.DatabaseError as error:
                    if _code(error) not in _DAMAGED:
                        raise StorageError(f"{self.path} could not be opened: {error}") from error
                    self._set_aside(error)
                    create_private(self.path)
            raise StorageError(f"{self.path} is damaged again right after it was made: check the disk")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            _refuse_strangers(connection, self.path)
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            _retried(lambda: connection.execute("PRAGMA journal_mode=WAL").fetchall())
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA busy_timeout=0")
            connection.execute("PRAGMA journal_size_limit=8000000")
            if sys.platform == "darwin":
                connection.execute("PRAGMA fullfsync=1")
            _create(connection)
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                error = sqlite3.DatabaseError(found)
                error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
                raise error
        except BaseException:
            connection.close()
            raise
        return connection

    def _committed(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection
        _retried(lambda: connection.execute("BEGIN IMMEDIATE"))
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != VERSION:
                raise StorageError(
                    f"{self.path} has schema version {version} now, this release knows {VERSION}:"
                    " nothing is written until it is upgraded"
                )
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result

    def _notice_replacement(self) -> None:
        """Each second: a file that was removed or replaced would swallow every write without an error."""
        if time.monotonic() - self._looked < 1.0:
            return
        self._looked = time.monotonic()
        if _identity(self.path) == self._identity:
            return
        self._connection.close()
        create_private(self.path)
        self._connection = self._open()
        self.generation = self._one("SELECT id FROM generation")
        self._identity = _identity(self.path)

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        before = sorted(self.path.parent.glob(f"{self.path.name}.corrupt-*"))
        names = {path.name.removesuffix("-wal").removesuffix("-shm") for path in before}
        if len(names) >= MAX_SET_ASIDE:
            raise StorageError(
                f"{self.path} is damaged ({error}), and {MAX_SET_ASIDE} damaged files stand beside it already:"
                " check the disk, move them away, then start again"
            )
        aside = f"{self.path.name}.corrupt-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(2)}"
        for ending in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                self.path.with_name(self.path.name + ending).rename(self.path.with_name(aside + ending))
        sys.stderr.write(
            f"obs: {self.path} is damaged ({error}); it is kept as {aside}, and a new one begins\n"
        )

    def _one(self, sql: str) -> str:
        with closing(self._connection.execute(sql)) as cursor:
            return str(cursor.fetchone()[0])


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
    _retried(lambda: connection.execute("BEGIN IMMEDIATE"))
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if not version:
            for statement in SCHEMA:
                connection.execute(statement)
            connection.execute("INSERT INTO generation VALUES (?)", (secrets.token_hex(8),))
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _retried(work: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            work()
        except sqlite3.OperationalError as error:
            if _code(error) not in _BUSY or time.monotonic() > deadline:
                raise
            pause()
        else:
            return


def _vacuum(connection: sqlite3.Connection, pages: int) -> bool:
    """Give up to so many pages back; whether some were, so that more may be."""
    (before,) = connection.execute("PRAGMA freelist_count").fetchone()
    if before:
        connection.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
    (after,) = connection.execute("PRAGMA freelist_count").fetchone()
    return bool(after < before)


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
