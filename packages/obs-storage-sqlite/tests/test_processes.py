import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import obs_storage_sqlite
from obs_core import LogEntry, LogQuery
from obs_storage_sqlite import SQLiteStorage

pytestmark = pytest.mark.integration

WRITE = """
import asyncio, os, sys
from obs_core import LogEntry
from obs_storage_sqlite import SQLiteStorage

async def main(path, name, batches):
    ack = os.open(f"{path}.{name}.ack", os.O_WRONLY | os.O_CREAT)
    async with SQLiteStorage(path) as storage:
        for batch in range(batches):
            await storage.logs.write([LogEntry(1.0, "INFO", f"{name} {batch} {n}") for n in range(20)])
            os.pwrite(ack, str(batch + 1).encode(), 0)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stored(path: Path) -> dict[str, int]:
    """Batches of each writer; every one of them whole."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    counts = Counter(message.split()[0] for message in asyncio.run(messages(path)))
    assert all(count % 20 == 0 for count in counts.values())
    return {name: count // 20 for name, count in counts.items()}


async def messages(path: Path) -> list[str]:
    async with SQLiteStorage(path) as storage:
        return [one.entry.message async for one in storage.logs.read(LogQuery())]


def test_eight_processes_start_and_write_at_once(tmp_path):
    path = tmp_path / "obs.db"
    writers = [start(WRITE, path, f"w{number}", 25) for number in range(8)]
    for writer in writers:
        _, error = writer.communicate(timeout=60)
        assert (writer.returncode, error) == (0, "")
    assert stored(path) == {f"w{number}": 25 for number in range(8)}


def test_the_journal_stays_small_under_four_writers_merging_and_a_sleeping_reader(tmp_path):
    path = tmp_path / "obs.db"
    large = WRITE.replace("range(20)]", "range(20) for _ in (os.urandom(2000).hex(),)]").replace(
        'f"{name} {batch} {n}"', 'f"{name} {batch} {n} {_}"'
    )
    largest = asyncio.run(
        sleep_in_a_stream(path, [lambda n=n: start(large, path, f"w{n}", 100) for n in range(4)])
    )
    assert largest < 8_000_000
    assert stored(path) == {**{f"w{number}": 100 for number in range(4)}, "first": 50}


async def sleep_in_a_stream(path: Path, starts: list[Callable[[], subprocess.Popen[str]]]) -> int:
    """The largest size of the write-ahead log while a reader stands still; then it reads on, and misses nothing."""
    wal = path.with_name(path.name + "-wal")
    largest = 0
    async with SQLiteStorage(path) as storage:
        for batch in range(50):
            await storage.logs.write([LogEntry(1.0, "INFO", f"first {batch} {n}") for n in range(20)])
        reading = storage.logs.read(LogQuery())
        seen = [await anext(reading)]
        writers = [begin() for begin in starts]
        deadline = time.monotonic() + 60
        while any(writer.poll() is None for writer in writers):
            assert time.monotonic() < deadline
            await storage.maintain()
            largest = max(largest, wal.stat().st_size)
        for writer in writers:
            _, error = await asyncio.to_thread(writer.communicate)
            assert (writer.returncode, error) == (0, "")
        seen += [one async for one in reading]
        numbers = [int(one.cursor.rpartition("-")[2]) for one in seen]
        assert numbers == list(range(1, 1 + 50 * 20 + 4 * 100 * 20))
    return largest


def test_no_acknowledged_batch_is_lost_by_kill_9(tmp_path):
    path = tmp_path / "obs.db"
    acknowledged: dict[str, int] = {}
    for cycle in range(10):
        name = f"c{cycle}"
        writer = start(WRITE, path, name, 1_000_000)
        ack = Path(f"{path}.{name}.ack")
        deadline = time.monotonic() + 20
        while not (ack.exists() and ack.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.01 * cycle)
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
        acknowledged[name] = int(ack.read_text())
    found = stored(path)
    for name, count in acknowledged.items():
        assert count <= found[name] <= count + 1


def test_a_storage_that_was_never_closed_does_not_keep_the_process(tmp_path):
    code = """
import asyncio, sys
from obs_core import LogEntry, LogQuery
from obs_storage_sqlite import SQLiteStorage

async def main():
    storage = await SQLiteStorage(sys.argv[1]).__aenter__()
    await storage.logs.write([LogEntry(1.0, "INFO", "x")])
    async for _ in storage.logs.read(LogQuery()):
        break

asyncio.run(main())
"""
    process = start(code, tmp_path / "obs.db")
    began = time.monotonic()
    _, error = process.communicate(timeout=20)
    assert (process.returncode, error) == (0, "")
    assert time.monotonic() - began < 5


def test_it_is_written_and_closed_while_the_interpreter_ends(tmp_path):
    code = """
import asyncio, atexit, sys, threading
from obs_core import LogEntry
from obs_storage_sqlite import SQLiteStorage

storage, loop = SQLiteStorage(sys.argv[1]), asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()

def run(work):
    return asyncio.run_coroutine_threadsafe(work, loop).result(10)

def end():
    run(storage.logs.write([LogEntry(1.0, "INFO", "last")]))
    run(storage.__aexit__(None, None, None))

run(storage.__aenter__())
atexit.register(end)
"""
    process = start(code, tmp_path / "obs.db")
    _, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (0, "")
    assert asyncio.run(messages(tmp_path / "obs.db")) == ["last"]
    # Closed as it should be, it leaves no journal.
    assert not (tmp_path / "obs.db-wal").exists()


def test_a_forked_child_uses_nothing_of_its_parents(tmp_path):
    code = """
import asyncio, os, sys
from obs_core import LogEntry, LogQuery, StorageClosedError
from obs_storage_sqlite import SQLiteStorage

async def write(storage, text):
    await storage.logs.write([LogEntry(1.0, "INFO", text)])

async def child(storage):
    try:
        await write(storage, "inherited")
    except StorageClosedError:
        async with storage:
            await write(storage, "child")

storage = SQLiteStorage(sys.argv[1])
loop = asyncio.new_event_loop()
loop.run_until_complete(storage.__aenter__())
loop.run_until_complete(write(storage, "before"))
pid = os.fork()
if pid == 0:
    asyncio.new_event_loop().run_until_complete(child(storage))
    os._exit(0)
os.waitpid(pid, 0)
loop.run_until_complete(write(storage, "after"))
async def read():
    return [stored.entry.message async for stored in storage.logs.read(LogQuery())]
print(loop.run_until_complete(read()))
"""
    output, error = start(code, tmp_path / "obs.db").communicate(timeout=30)
    assert output.strip() == "['before', 'child', 'after']", error


def test_every_transaction_that_writes_begins_immediate():
    source = Path(obs_storage_sqlite.__file__).parent
    begins = [
        line for path in source.glob("*.py") for line in path.read_text().splitlines() if '"BEGIN' in line
    ]
    # The one that reads is on a connection that cannot write.
    reads = [line for line in begins if 'execute_fetchall("BEGIN")' in line]
    assert len(reads) == 1
    assert "?mode=ro" in (source / "_reading.py").read_text()
    assert len(begins) > len(reads)
    assert all('"BEGIN IMMEDIATE"' in line for line in begins if line not in reads)
