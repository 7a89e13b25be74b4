"""The layout of the file: schema version 1, a row for each entry and each sample."""

import sqlite3
from typing import Final

APPLICATION_ID: Final = 0x6F627331  # "obs1"
VERSION: Final = 1

# auto_vacuum stands before the first table: later it would need a VACUUM of the whole file.
SCHEMA: Final = (
    "CREATE TABLE generation (id TEXT NOT NULL)",
    """CREATE TABLE logs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        timestamp REAL NOT NULL,
        level TEXT NOT NULL,
        severity INTEGER NOT NULL,
        size INTEGER NOT NULL,
        record BLOB NOT NULL,
        checksum INTEGER NOT NULL)""",
    "CREATE INDEX logs_timestamp ON logs (timestamp)",
    """CREATE TABLE series (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        labels BLOB NOT NULL,
        UNIQUE (name, labels))""",
    """CREATE TABLE samples (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        series INTEGER NOT NULL,
        timestamp REAL NOT NULL,
        value BLOB NOT NULL)""",
    "CREATE INDEX samples_timestamp ON samples (timestamp)",
    "CREATE TABLE metadata (name TEXT PRIMARY KEY, record BLOB NOT NULL)",
    # The batches that are in: one that is sent again after an unclear answer is not stored twice.
    "CREATE TABLE batches (incarnation TEXT PRIMARY KEY, number INTEGER NOT NULL, stored REAL NOT NULL) WITHOUT ROWID",
)


def drop_oldest(connection: sqlite3.Connection) -> None:
    """Make a little room on a full disk."""
    connection.execute("DELETE FROM logs WHERE id IN (SELECT id FROM logs ORDER BY id LIMIT 100)")
    connection.execute("DELETE FROM samples WHERE id IN (SELECT id FROM samples ORDER BY id LIMIT 100)")
