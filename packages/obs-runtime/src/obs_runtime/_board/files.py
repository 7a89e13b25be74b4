"""Files that appear whole: made under another name, locked, then renamed."""

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from .locks import Opened

TEMPORARY: Final = ".tmp"
_ATTEMPTS: Final = 20


def create(path: Path, content: bytes, size: int = 0) -> Opened:
    """Put a file with this content and at least this size at `path`, in place of what is there.

    It is given back open and locked. Raises `OSError`; then nothing is changed.
    """
    for _ in range(_ATTEMPTS):
        temporary = path.with_name(secrets.token_hex(8) + TEMPORARY)
        file = Opened(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            # A cleaner may have it already, or have removed it: then again under another name.
            if file.take():
                _fill(file.descriptor, content, size)
                temporary.rename(path)
                return file
        except FileNotFoundError:
            pass
        except BaseException:
            temporary.unlink(missing_ok=True)
            file.close()
            raise
        file.close()
    raise FileNotFoundError(f"{path}: its folder is gone, or somebody removes every new file in it")


def write(descriptor: int, content: bytes, at: int) -> None:
    """Write all of it. Raises `OSError`: a disk that is full writes less than it was given first."""
    while content:
        written = os.pwrite(descriptor, content, at)
        content, at = content[written:], at + written


def read_all(path: Path) -> bytes:
    """The content of a file that is replaced, never changed. Raises `OSError`."""
    with Opened(path, os.O_RDONLY) as file:
        parts = []
        at = 0
        while part := os.pread(file.descriptor, 1 << 20, at):
            parts.append(part)
            at += len(part)
        return b"".join(parts)


def remove_abandoned(folder: Path) -> None:
    """Remove what somebody who died was making; one that is locked has its maker."""
    for path in folder.glob(f"*{TEMPORARY}"):
        with suppress(FileNotFoundError), Opened(path, os.O_RDWR) as file:
            if file.take():
                path.unlink()


def _fill(descriptor: int, content: bytes, size: int) -> None:
    # Room is taken now, so that a full disk is known here and not at a later write.
    try:
        os.posix_fallocate(descriptor, 0, max(size, len(content)))
    except (AttributeError, OSError) as error:
        # macOS has no such call, and some file systems refuse it.
        if isinstance(error, OSError) and error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        write(descriptor, bytes(max(size - len(content), 0)), len(content))
    write(descriptor, content, 0)
