"""Locks between processes: `flock`, which dies with its process and knows neither pids nor clocks.

A lock belongs to an open file, of which a forked child has a copy: there it is closed at once, and never unlocked.
"""

import os
import random
import stat
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from obs_core.files import make_private_folder

from ._errors import BoardError, GateHeldError

if sys.platform != "win32":
    import fcntl

_FLAGS: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


class Opened:
    """An open file that may be locked; closing it lets go. In a forked child it is closed already."""

    __slots__ = ("__weakref__", "_descriptor", "_locked")

    def __init__(self, path: Path, flags: int) -> None:
        """Raises `OSError`; a symbolic link is refused."""
        self._locked = False
        self._descriptor = -1
        _opened.add(self)
        self._descriptor = os.open(path, flags | _FLAGS, 0o600)

    @property
    def descriptor(self) -> int:
        return self._descriptor

    @property
    def inode(self) -> int:
        return os.fstat(self._descriptor).st_ino

    def take(self) -> bool:
        """Take the lock, until closed; False where another has it."""
        if sys.platform != "win32":
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        self._locked = True
        return True

    def close(self) -> None:
        # Unlocked first, so that a child forked between here and the end holds nothing.
        if self._locked and sys.platform != "win32":
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self.forget()

    def forget(self) -> None:
        """Close and leave the lock alone: in a forked child it is the parent's."""
        descriptor, self._descriptor, self._locked = self._descriptor, -1, False
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> "Opened":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


_opened: "weakref.WeakSet[Opened]" = weakref.WeakSet()


def _in_child() -> None:
    for one in list(_opened):
        one.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def make_folder(folder: Path) -> None:
    """Make the folder of a board, ours alone. Raises `BoardError` where it is another's."""
    make_private_folder(folder)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise BoardError(f"{folder} is not a folder of this user: name another with board=")
    if status.st_mode & 0o077:
        folder.chmod(0o700)


@contextmanager
def held(path: Path, seconds: float) -> Iterator[None]:
    """Hold the lock of this file. Raises `GateHeldError` where another does not let go of it for so long."""
    deadline = time.monotonic() + seconds
    while True:
        with Opened(path, os.O_RDWR | os.O_CREAT) as file:
            # One that somebody removed meanwhile is no lock, as another may hold the one that is there now.
            if file.take() and _in_place(path, file):
                yield
                return
        if time.monotonic() > deadline:
            raise GateHeldError(f"{path} is held by another process for over {seconds:g} s")
        time.sleep(random.uniform(0.0003, 0.003))  # noqa: S311  # no secret: so that two do not meet again


def _in_place(path: Path, file: Opened) -> bool:
    try:
        return path.lstat().st_ino == file.inode
    except FileNotFoundError:
        return False


class Lease:
    """Held by one process at a time, until it ends or lets go; no clock has a part in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Opened | None = None

    def hold(self) -> bool:
        """Whether this process holds it, from now on too. Raises `OSError` where the file cannot be opened."""
        if self._file is not None and not _in_place(self._path, self._file):
            # Somebody removed it, and another may hold the one that is there now.
            self.let_go()
        if self._file is None:
            file = Opened(self._path, os.O_RDWR | os.O_CREAT)
            if not (file.take() and _in_place(self._path, file)):
                file.close()
                return False
            self._file = file
        return True

    @property
    def held(self) -> bool:
        """Whether it was held when it was last asked for."""
        return self._file is not None

    def let_go(self) -> None:
        """Let another have it."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
