"""The gate: one process at a time commits or checkpoints.

SQLite's own lock is not fair and its waiting starves; and while commits and checkpoints never overlap,
the write-ahead log stays at a few megabytes.
"""

import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from obs_core import StorageError

from ._files import create_private, identity
from ._forks import Identity, inside_sqlite, unwatch, watch

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


def pause() -> None:
    """A short wait of random length, so that those who wait do not meet again."""
    time.sleep(random.uniform(0.0003, 0.003))  # noqa: S311  # no secret


class Gate:
    """A lock file beside the database: held for a commit, never longer.

    Where processes cannot take turns (`alone` says why: Windows, a network file system) it is held for life,
    and a second process gets a `StorageError` at once.
    """

    def __init__(self, path: Path, alone: str = "") -> None:
        self._path = path
        self._alone = alone
        self._file: int | None = None
        if alone:
            self._reopen()
            if not self._try():
                self.close()
                raise StorageError(f"{path} is held by another process, and there can be one alone: {alone}")

    @contextmanager
    def held(self, seconds: float) -> Iterator[None]:
        """Hold the gate. Raises `StorageError` when a holder has not let go for `seconds`."""
        if self._alone:
            yield
            return
        self._lock(seconds)
        try:
            yield
        finally:
            self._unlock()

    def close(self) -> None:
        """Let go of the file."""
        with inside_sqlite():  # no fork comes in between: a child closes what it finds here
            if self._file is not None:
                os.close(self._file)
                self._file = None
            unwatch(self)

    def forget(self, *, safe: bool) -> Identity | None:
        """In a forked child: its copy of the file would hold what a killed parent held."""
        self.close()
        return None

    def _lock(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        if self._file is None:
            self._reopen()
        while not (self._try() and self._is_at_its_place()):
            if time.monotonic() > deadline:
                raise StorageError(f"{self._path} is held by another process for over {seconds:g} s")
            pause()

    def _is_at_its_place(self) -> bool:
        """False where the lock file was removed or replaced: others lock another one."""
        if self._file is None:
            return False
        status = os.fstat(self._file)
        if identity(self._path) == (status.st_dev, status.st_ino):
            return True
        self._reopen()
        return False

    def _reopen(self) -> None:
        self.close()
        create_private(self._path)
        with inside_sqlite():
            self._file = os.open(self._path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
            watch(self)

    def _try(self) -> bool:
        if self._file is None:
            return False
        try:
            if sys.platform == "win32":
                msvcrt.locking(self._file, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _unlock(self) -> None:
        if sys.platform != "win32" and self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
