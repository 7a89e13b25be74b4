"""The files of a storage: their names, their modes, their size, and the file system below them."""

import os
import secrets
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from obs_core import ConfigurationError, StorageError
from obs_core.files import make_private_folder

MAX_SET_ASIDE: Final = 3
# SQLite's shared memory and `flock` do not hold across the machines of these.
_SHARED: Final = ("nfs", "cifs", "smb", "9p", "fuse", "virtiofs", "afs", "ceph", "gluster", "lustre")


def checked_path(given: str | os.PathLike[str]) -> Path:
    """The path, absolute, since a host may change its folder later.

    Raises `ConfigurationError` for what other libraries take for one.
    """
    if not isinstance(given, str | os.PathLike):
        raise ConfigurationError(f'a storage is a file: SQLiteStorage("obs.db"), not {given!r}')
    name = os.fspath(given)
    if name == ":memory:" or not name:
        raise ConfigurationError("a storage is a file: for memory alone there is MemoryStorage() of obs_core")
    if name.startswith(("sqlite:", "file:")):
        raise ConfigurationError(f'a storage is named by its path, as "obs.db", not by an address: {name!r}')
    return Path(name).absolute()


def create_private(path: Path) -> None:
    """Create an empty file with mode 0600 unless there is one. Raises `StorageError` for one that is planted."""
    make_private_folder(path.parent)
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    try:
        os.close(os.open(path, flags | os.O_EXCL, 0o600))
    except FileExistsError:
        refuse_planted(path)
        if path.is_dir():
            raise StorageError(f"{path} is a folder: name a file") from None


def create_database(path: Path) -> None:
    """The same for a database, whose journals SQLite would follow and believe as they are."""
    create_private(path)
    for ending in ("-wal", "-shm"):
        refuse_planted(beside(path, ending))


def refuse_planted(path: Path) -> None:
    """Raise `StorageError` for a symbolic link, and for another user's file where all may put one."""
    try:
        status, folder = path.lstat(), path.parent.stat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode):
        raise StorageError(f"{path} is a symbolic link: name the file itself")
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid() and folder.st_mode & 0o022:
        raise StorageError(
            f"{path} belongs to another user, in a folder where others may write: name a folder of your own"
        )


def beside(path: Path, ending: str) -> Path:
    """The file of this storage whose name ends so."""
    return path.with_name(path.name + ending)


def identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one under the same name; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def set_aside_files(path: Path) -> list[Path]:
    """The damaged files beside it, with their journals."""
    return sorted(path.parent.glob(f"{path.name}.corrupt-*"))


def size_on_disk(path: Path) -> int:
    """Bytes of all files of a storage, as the file system counts them."""
    own = [beside(path, ending) for ending in ("", "-wal", "-shm", "-lock", "-reserve")]
    return sum(map(allocated, [*own, *set_aside_files(path)]))


def allocated(path: Path) -> int:
    """Bytes that a file takes; 0 where there is none."""
    try:
        status = path.stat()
    except OSError:
        return 0
    blocks: int | None = getattr(status, "st_blocks", None)
    return status.st_size if blocks is None else blocks * 512


def set_aside(path: Path, reason: object) -> None:
    """Rename a damaged file with its journals, and say so. Raises `StorageError` where three stand there already."""
    names = {file.name.removesuffix("-wal").removesuffix("-shm") for file in set_aside_files(path)}
    if len(names) >= MAX_SET_ASIDE:
        raise StorageError(
            f"{path} is damaged ({reason}), and {MAX_SET_ASIDE} damaged files stand beside it already:"
            " check the disk, move them away, then start again"
        )
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = f".corrupt-{moment}-{secrets.token_hex(2)}"
    for ending in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            beside(path, ending).rename(beside(path, aside + ending))
    sys.stderr.write(
        f"obs: {path} is damaged ({reason}); it is kept as {path.name}{aside}, a new one begins\n"
    )


def shared_file_system(path: Path) -> str:
    """The kind of the file system where other machines may have the file too; empty where none is known."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    kind = file_system(str(path.resolve()), mounts)
    return kind if kind.startswith(_SHARED) else ""


def file_system(path: str, mounts: str) -> str:
    """The kind of the file system that holds an absolute path, by a text like `/proc/self/mountinfo`."""
    best, kind = "", ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) < 5 or not right:
            continue
        point = fields[4].replace("\\040", " ").rstrip("/")
        if (path == point or path.startswith(point + "/")) and len(point) >= len(best):
            best, kind = point, right.split()[0]
    return kind


def alone(path: Path) -> str:
    """Why no second process may use the file; empty where it may."""
    if sys.platform == "win32":
        return "on Windows processes cannot share it"
    if kind := shared_file_system(path):
        sys.stderr.write(
            f"obs: {path} is on {kind}, where processes cannot share it: a local disk is better\n"
        )
        return f"it is on {kind}"
    return ""
