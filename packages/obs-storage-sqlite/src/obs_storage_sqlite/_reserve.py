"""The reserve: room that is given up on a full disk, so that a checkpoint and deletions can still be written."""

import os
import shutil
from pathlib import Path
from typing import Final

from obs_core import StorageError

from ._files import create_private

# More than the write-ahead log can hold, or a checkpoint would not fit into what it frees.
SIZE: Final = 8 * 1024 * 1024


class Reserve:
    """A file of `SIZE` bytes beside the database."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def make(self) -> bool:
        """Take the room unless it is taken; False where there is little left, or it cannot be had."""
        try:
            if self._path.exists() and self._path.stat().st_size == SIZE:
                return True
            if shutil.disk_usage(self._path.parent).free < 4 * SIZE:
                return False
            create_private(self._path)
            with self._path.open("r+b") as file:
                _fill(file.fileno())
        except (OSError, StorageError):
            self.drop()
            return False
        return True

    def drop(self) -> bool:
        """Give the room up; whether there was one."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


def _fill(file: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, SIZE)
    else:
        os.pwrite(file, bytes(SIZE), 0) if hasattr(os, "pwrite") else os.write(file, bytes(SIZE))
