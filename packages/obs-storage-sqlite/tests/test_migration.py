import os
import signal
import sqlite3
import struct
import subprocess
import sys
import time
import zlib
from functools import partial
from pathlib import Path

import msgspec
import pytest

from obs_core import LogEntry, LogQuery, MetricMetadata, MetricQuery, MetricSample
from obs_storage_sqlite import SQLiteStorage
from obs_storage_sqlite._migration import begin_upgrade, blocks_of, plan_upgrade
from obs_storage_sqlite._schema import APPLICATION_ID

pytestmark = pytest.mark.integration

# What release 0.1.0 made before it was first published: schema version 1.
VERSION_1 = """
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
"""
OPEN = """
import asyncio, sys
from obs_storage_sqlite import SQLiteStorage
asyncio.run(SQLiteStorage(sys.argv[1]).__aenter__())
"""
encode = msgspec.msgpack.encode


def version_1(path: Path, logs: int, samples: int) -> list[LogEntry]:
    entries = [LogEntry(1000.0 + n, "INFO", f"paid {n}", {"order": n}, "shop") for n in range(logs)]
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    connection.execute("PRAGMA journal_mode=WAL").fetchall()
    connection.executescript(VERSION_1)
    connection.execute("INSERT INTO generation VALUES ('0123456789abcdef')")
    rows = [encode(entry) for entry in entries]
    connection.executemany(
        "INSERT INTO logs (timestamp, level, severity, size, record, checksum) VALUES (?, 'INFO', 9, 90, ?, ?)",
        [(entry.timestamp, row, zlib.crc32(row)) for entry, row in zip(entries, rows, strict=True)],
    )
    # Retention had taken the first ten, and the last entry there was.
    connection.execute("DELETE FROM logs WHERE id <= 10 OR id = ?", (logs,))
    for plan in ("free", "pro"):
        connection.execute(
            "INSERT INTO series (name, labels) VALUES ('a_total', ?)", (encode({"plan": plan}),)
        )
    connection.executemany(
        "INSERT INTO samples (series, timestamp, value) VALUES (?, ?, ?)",
        [(n % 2 + 1, float(n // 2), struct.pack("<d", n)) for n in range(samples)],
    )
    connection.execute(
        "INSERT INTO metadata VALUES ('a', ?)", (encode(MetricMetadata("a", "counter", "A.")),)
    )
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute("PRAGMA user_version=1")
    connection.commit()
    connection.close()
    return entries[10:-1]


def _step(connection: sqlite3.Connection) -> None:
    step = plan_upgrade(connection)
    assert step is not None
    step(connection)


async def check(path: Path, entries: list[LogEntry], logs: int, samples: int) -> None:
    async with SQLiteStorage(path) as storage:
        stored = [one async for one in storage.logs.read(LogQuery())]
        assert [one.entry for one in stored] == entries
        assert [one.cursor for one in stored[:2]] == ["0123456789abcdef-11", "0123456789abcdef-12"]
        assert stored[-1].cursor == f"0123456789abcdef-{logs - 1}"
        await storage.logs.write([LogEntry(1.0, "INFO", "new")])
        # The cursor of the entry that was deleted last is not given again.
        (new,) = [one async for one in storage.logs.read(LogQuery(text="new"))]
        assert new.cursor == f"0123456789abcdef-{logs + 1}"
        found = [one async for one in storage.metrics.read(MetricQuery())]
        assert found == [
            MetricSample("a_total", float(n), float(n // 2), {"plan": ("free", "pro")[n % 2]})
            for n in range(samples)
        ]
        assert list(await storage.metrics.metadata()) == [MetricMetadata("a", "counter", "A.")]
        assert await storage.verify() == []
        tables = await storage.fetch("SELECT name FROM sqlite_master WHERE type = 'table'", ())
        assert not {"logs", "samples", "batches"} & {row[0] for row in tables}


@pytest.mark.asyncio
async def test_a_file_of_version_1_is_upgraded_in_place_and_answers_the_same(tmp_path):
    entries = version_1(tmp_path / "obs.db", 9000, 300)
    await check(tmp_path / "obs.db", entries, 9000, 300)
    connection = sqlite3.connect(tmp_path / "obs.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (3,)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


@pytest.mark.asyncio
async def test_an_upgrade_that_was_cut_off_goes_on_where_it_was(tmp_path):
    path = tmp_path / "obs.db"
    entries = version_1(path, 9000, 300)
    connection = sqlite3.connect(path, isolation_level=None)
    for step in (partial(begin_upgrade, version=1), _step):
        connection.execute("BEGIN IMMEDIATE")
        step(connection)
        connection.execute("COMMIT")
    connection.close()
    await check(path, entries, 9000, 300)


@pytest.mark.asyncio
async def test_an_upgrade_that_is_killed_loses_nothing(tmp_path):
    path = tmp_path / "obs.db"
    entries = version_1(path, 30_000, 3000)
    for _ in range(6):
        kill_during(OPEN, path)
    await check(path, entries, 30_000, 3000)


def kill_during(code: str, path: Path) -> None:
    """Kill it a little after its first write."""
    before = path.stat().st_mtime_ns, size(path)
    process = subprocess.Popen([sys.executable, "-c", code, str(path)])
    deadline = time.monotonic() + 20
    while (
        (path.stat().st_mtime_ns, size(path)) == before
        and process.poll() is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.002)
    time.sleep(0.03)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=20)


def size(path: Path) -> int:
    wal = path.with_name(path.name + "-wal")
    return wal.stat().st_size if wal.exists() else 0


@pytest.mark.asyncio
async def test_a_damaged_row_of_version_1_costs_itself_alone(tmp_path, capfd):
    path = tmp_path / "obs.db"
    entries = version_1(path, 100, 0)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE logs SET record = zeroblob(9) WHERE id = 20")
    connection.commit()
    connection.close()
    async with SQLiteStorage(path) as storage:
        found = [one.entry async for one in storage.logs.read(LogQuery())]
    assert found == entries[:9] + entries[10:]
    assert "1 damaged entries are left out" in capfd.readouterr().err


@pytest.mark.asyncio
async def test_a_large_upgrade_says_how_far_it_is(tmp_path, capfd):
    version_1(tmp_path / "obs.db", 110_000, 0)
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        assert await storage.logs.count() == 109_989
    assert "is being upgraded" in capfd.readouterr().err


@pytest.mark.asyncio
async def test_large_entries_of_version_1_are_upgraded_into_blocks_that_can_be_read(tmp_path):
    path = tmp_path / "obs.db"
    version_1(path, 11, 0)
    connection = sqlite3.connect(path)
    connection.executemany(
        "INSERT INTO logs (timestamp, level, severity, size, record, checksum) VALUES (1, 'INFO', 9, 90, ?, ?)",
        [(record, zlib.crc32(record)) for n in range(1800) if (record := large(n))],
    )
    connection.commit()
    connection.close()
    async with SQLiteStorage(path) as storage:
        found = [one.entry.message async for one in storage.logs.read(LogQuery())]
        assert found == [f"{n} " + "x" * 40_000 for n in range(1800)]
        assert max(await storage.fetch("SELECT rows FROM blocks", ())) <= (100,)


def large(n: int) -> bytes:
    return encode(LogEntry(1.0, "INFO", f"{n} " + "x" * 40_000))


@pytest.mark.parametrize(
    "entry",
    [
        LogEntry(1.0, "INFO", "m", {}, "shop", None),
        LogEntry(1.0, "INFO", "m", {"d": {None: 1}}),
        LogEntry(1.0, "WARN", "m"),
    ],
)
@pytest.mark.asyncio
async def test_an_odd_entry_of_version_1_costs_itself_alone(tmp_path, entry, capfd):
    path = tmp_path / "obs.db"
    entries = version_1(path, 100, 10)
    record = encode(entry)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE logs SET record = ?, checksum = ? WHERE id = 20", (record, zlib.crc32(record)))
    connection.execute("UPDATE samples SET value = x'01020304' WHERE id = 5")
    connection.commit()
    connection.close()
    async with SQLiteStorage(path) as storage:
        found = [one.entry async for one in storage.logs.read(LogQuery())]
        assert found == entries[:9] + entries[10:]
        assert await storage.metrics.count() == 9
    said = capfd.readouterr().err
    assert "1 damaged entries are left out" in said
    assert "1 damaged samples are left out" in said


def test_entries_that_make_no_block_together_make_several():
    entries = [(n, LogEntry(1.0, "INFO", "m", {"d": {None: 1}} if n == 3 else {})) for n in range(1, 9)]
    assert [block.header.rows for block in blocks_of(entries)] == [2, 1, 4]
