"""Opening the files of a database: which ones they are, who may, and what is done where they are damaged."""

import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, NamedTuple

from obs_core import StorageError

from ._connection import PATIENCE, connect, copy_log, look_over
from ._failures import is_cut, is_damage
from ._files import alone, beside, create_database, identity, set_aside
from ._forks import inside_sqlite, is_forbidden
from ._gate import Gate

# A truncated journal looks like damage until every process has closed the file once; so look again, some times.
_TRIES: Final = 3
# A log is copied, and begun anew, long before; a reader kept that from being done, or the last batch was a large one.
_LONG: Final = 7_000_000
# A reader of ours is gone at once, one that stands is another program's: commits are not held up for it more often.
_STANDS: Final = 1.0


class Opened(NamedTuple):
    """A connection whose file was looked over, the random name of the file's life, and what tells the files apart."""

    connection: sqlite3.Connection
    generation: str
    identities: Sequence[object]


class Place:
    """The file at `path` with its journal and its shared memory, and the gate beside them."""

    def __init__(self, path: Path) -> None:
        create_database(path)
        self.path = path
        self._lock = beside(path, "-lock")
        self.gate = Gate(self._lock, alone(path))
        self._files = [beside(path, ending) for ending in ("", "-wal", "-shm")]

    def identities(self) -> Sequence[object]:
        """Of the file, its journal and its shared memory: where one was removed, whoever comes makes a new one."""
        return [identity(file) for file in self._files]

    def shorten_log(self, connection: sqlite3.Connection) -> None:
        """Under the gate, after a commit: where a reader was in the way of copying the log, wait for it.

        The time of the lock's file tells all processes when one waited in vain; for a while they try without waiting.
        """
        with suppress(OSError, sqlite3.OperationalError):
            if self._files[1].stat().st_size <= _LONG:
                return
            if 0 <= time.time() - self._lock.stat().st_mtime < _STANDS:
                copy_log(connection, 0)
            elif not copy_log(connection):
                os.utime(self._lock)

    def open(self) -> Opened:
        """Under the gate, so that of several processes one alone creates, or sets aside. Raises `StorageError`."""
        if is_forbidden(identity(self.path)):
            raise StorageError(
                f"{self.path} was in use by another thread when this process was forked: it cannot be opened here"
            )
        for attempt in range(_TRIES + 1):
            if attempt:
                time.sleep(0.2)
            before = self.identities()
            try:
                return self._open()
            except sqlite3.DatabaseError as error:
                if is_cut(error) and attempt < _TRIES:
                    self.drop_journal(before)
                    continue
                if not is_damage(error):
                    raise StorageError(f"{self.path} could not be opened: {error}") from error
                if attempt == _TRIES - 1:
                    self._set_aside()
        raise StorageError(f"{self.path} is damaged again right after it was made: check the disk")

    def drop_journal(self, seen: Sequence[object]) -> None:
        """Remove a journal that shared memory does not fit, and that memory, unless somebody did since they were seen.

        Processes that stand idle hold the memory for life: what it says of a journal that is gone fits no new one.
        """
        with self.gate.held(PATIENCE):
            if self.identities() == seen:
                for file in self._files[1:]:
                    file.unlink(missing_ok=True)

    def _open(self) -> Opened:
        with self.gate.held(PATIENCE):
            connection = connect(self.path)
            identities = self.identities()
        try:
            with inside_sqlite():
                # Not under the gate: it may take a second, and the others go on writing.
                look_over(connection)
                return Opened(connection, generation_of(connection), identities)
        except BaseException:
            connection.close()
            raise

    def _set_aside(self) -> None:
        """Look once more, with no other at it: whoever came first may have begun a new file already."""
        with self.gate.held(PATIENCE):
            try:
                with inside_sqlite(), closing(connect(self.path)) as connection:
                    look_over(connection)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise StorageError(f"{self.path} could not be opened: {error}") from error
                set_aside(self.path, error)
                create_database(self.path)


def generation_of(connection: sqlite3.Connection) -> str:
    """The random name of the file's life."""
    with closing(connection.execute("SELECT id FROM generation")) as cursor:
        return str(cursor.fetchone()[0])
