"""What an error of SQLite means: what to do about it depends on that."""

import sqlite3
from typing import Final

_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED: Final = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})


def code(error: sqlite3.Error) -> int:
    """The primary result code."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Whether others are at it just now."""
    return code(error) in _BUSY


def is_cut(error: sqlite3.Error) -> bool:
    """Whether the file or its journal is shorter than it was."""
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHORT_READ


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is at fault: only then it may be set aside."""
    return code(error) in _DAMAGED


def is_full(error: sqlite3.Error) -> bool:
    """Whether there was no room."""
    return code(error) == sqlite3.SQLITE_FULL


def is_refused(error: sqlite3.Error) -> bool:
    """Whether the disk failed."""
    return code(error) == sqlite3.SQLITE_IOERR
