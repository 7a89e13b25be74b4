"""A file of schema version 1: a row for each entry and each sample."""

import sqlite3
import struct
import zlib
from pathlib import Path

import msgspec

from obs_core import LogEntry, LogQuery, MetricQuery
from obs_storage_sqlite import SQLiteStorage

from .figures import holds

LOGS, SAMPLES = 9000, 300
_TABLES = """
PRAGMA auto_vacuum=INCREMENTAL;
PRAGMA journal_mode=WAL;
CREATE TABLE generation (id TEXT NOT NULL);
CREATE TABLE logs (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp REAL NOT NULL, level TEXT NOT NULL,
    severity INTEGER NOT NULL, size INTEGER NOT NULL, record BLOB NOT NULL, checksum INTEGER NOT NULL);
CREATE INDEX logs_timestamp ON logs (timestamp);
CREATE TABLE series (id INTEGER PRIMARY KEY, name TEXT NOT NULL, labels BLOB NOT NULL, UNIQUE (name, labels));
CREATE TABLE samples (id INTEGER PRIMARY KEY AUTOINCREMENT, series INTEGER NOT NULL, timestamp REAL NOT NULL,
    value BLOB NOT NULL);
CREATE INDEX samples_timestamp ON samples (timestamp);
CREATE TABLE metadata (name TEXT PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE batches (incarnation TEXT PRIMARY KEY, number INTEGER NOT NULL, stored REAL NOT NULL) WITHOUT ROWID;
INSERT INTO generation VALUES ('0123456789abcdef');
PRAGMA application_id=1868722993;
PRAGMA user_version=1;
"""


def make(path: Path) -> None:
    """As the release that used this schema left it, with its journal brought in."""
    connection = sqlite3.connect(path)
    connection.executescript(_TABLES)
    rows = [msgspec.msgpack.encode(LogEntry(float(n), "INFO", f"paid {n}")) for n in range(LOGS)]
    connection.executemany(
        "INSERT INTO logs (timestamp, level, severity, size, record, checksum) VALUES (?, 'INFO', 9, 90, ?, ?)",
        [(float(n), row, zlib.crc32(row)) for n, row in enumerate(rows)],
    )
    connection.execute(
        "INSERT INTO series VALUES (1, 'a_total', ?)", (msgspec.msgpack.encode({"plan": "pro"}),)
    )
    connection.executemany(
        "INSERT INTO samples (series, timestamp, value) VALUES (1, ?, ?)",
        [(float(n), struct.pack("<d", n)) for n in range(SAMPLES)],
    )
    connection.commit()
    connection.close()


async def check(path: Path) -> None:
    """Opened, it is of today's schema and holds the same as before."""
    async with SQLiteStorage(path) as storage:
        problems = await storage.verify()
        holds(not problems, f"verify: {problems[:3]}")
        found = [(one.cursor, one.entry.message) async for one in storage.logs.read(LogQuery())]
        values = [one.value async for one in storage.metrics.read(MetricQuery())]
    expected = [(f"0123456789abcdef-{n + 1}", f"paid {n}") for n in range(LOGS)]
    holds(found == expected, f"{len(found)} entries of {LOGS} were upgraded, or changed")
    holds(values == [float(n) for n in range(SAMPLES)], f"{len(values)} samples of {SAMPLES} were upgraded")
    connection = sqlite3.connect(path)
    whole, version = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("integrity_check", "user_version")
    )
    connection.close()
    holds(whole == "ok", f"integrity_check: {whole}")
    holds(version > 1, "it is not upgraded")
