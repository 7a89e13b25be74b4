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

if sys.platform != "win32":
    import fcntl


def create_private(path: Path) -> None:
    """Create an empty file with mode 0600 unless there is one. Raises `StorageError` for a symbolic link."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    try:
        os.close(os.open(path, flags | os.O_EXCL, 0o600))
    except FileExistsError:
        if path.is_symlink():
            raise StorageError(f"{path} is a symbolic link: name the file itself") from None


def pause() -> None:
    """A short wait of random length, so that those who wait do not meet again."""
    time.sleep(random.uniform(0.0003, 0.003))  # noqa: S311  # no secret


class Gate:
    """A lock file beside the database. Held for a commit, never longer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    @contextmanager
    def held(self, seconds: float) -> Iterator[None]:
        """Hold the gate. Raises `StorageError` when a holder has not let go for `seconds`."""
        self._lock(seconds)
        try:
            yield
        finally:
            self._unlock()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _lock(self, seconds: float) -> None:
        if self._file is None:
            create_private(self._path)
            self._file = os.open(self._path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        if sys.platform == "win32":
            return
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StorageError(
                        f"{self._path} is held by another process for over {seconds:g} s"
                    ) from None
                pause()
            else:
                return

    def _unlock(self) -> None:
        if sys.platform != "win32" and self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
