"""The token that is made at first start and kept beside the storage."""

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from .._errors import ConfigurationError
from ..files import make_private_folder

# Not every platform has these; O_NONBLOCK so that a pipe in its place cannot hold us.
_FLAGS: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_MAX_BYTES: Final = 4096


def token_path(storage_path: Path) -> Path:
    """Where the token of a storage is kept."""
    return storage_path.with_name(storage_path.name + "-token")


def make_or_read_token(path: Path) -> str:
    """The token of this file, made with mode 0600 where there is none; one token for all processes.

    Raises `ConfigurationError` where it cannot be had, or others could have written or read it.
    """
    try:
        make_private_folder(path.parent)
        try:
            return _read(path)
        except FileNotFoundError:
            _make(path)
            return _read(path)
    except OSError as error:
        raise ConfigurationError(
            f"the token file {path} cannot be used ({error.strerror}): repair it, or set token= or OBS_TOKEN"
        ) from error


def _read(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigurationError(f"{path} is no regular file: remove it, or set token= or OBS_TOKEN")
        if hasattr(os, "geteuid") and (status.st_uid != os.geteuid() or status.st_mode & 0o077):
            raise ConfigurationError(f"{path} is not ours alone: remove it, or make it ours with mode 0600")
        token = file.read(_MAX_BYTES).decode("utf-8", "replace").strip()
    if not token:
        raise ConfigurationError(f"{path} is empty: remove it, and a new token is made at the next start")
    return token


def _make(path: Path) -> None:
    # Written apart and linked, so that nobody reads half a token and the first of several processes wins.
    apart = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(apart, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_urlsafe(32).encode() + b"\n")
            file.flush()
            os.fsync(descriptor)
        os.link(apart, path)
    except FileExistsError:
        pass
    finally:
        apart.unlink()
