import asyncio
import gc
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from obs_core import LogEntry, LogQuery, MetricSample, StorageError
from obs_storage_sqlite import SQLiteStorage, _metric_rows, _opening
from obs_storage_sqlite._connection import copy_log
from obs_storage_sqlite._database import Database
from obs_storage_sqlite._files import file_system, size_on_disk
from obs_storage_sqlite._gate import Gate
from obs_storage_sqlite._reserve import SIZE, Reserve

pytestmark = pytest.mark.integration


def entries(count: int, size: int = 10) -> list[LogEntry]:
    return [LogEntry(float(n), "INFO", f"{n} {os.urandom(size).hex()}") for n in range(count)]


async def count(storage: SQLiteStorage) -> int:
    return len([stored async for stored in storage.logs.read(LogQuery())])


def test_the_file_system_of_a_path_is_that_of_the_longest_mount_point():
    mounts = (
        "22 1 0:20 / / rw - ext4 /dev/sda rw\n"
        "23 22 0:21 / /srv rw shared:1 - nfs4 host:/srv rw\n"
        "24 23 0:22 / /srv/my\\040own rw - tmpfs tmpfs rw\nnonsense\n"
    )
    assert file_system("/var/obs.db", mounts) == "ext4"
    assert file_system("/srv/obs.db", mounts) == "nfs4"
    assert file_system("/srv/my own/obs.db", mounts) == "tmpfs"
    assert file_system("/srvx/obs.db", mounts) == "ext4"


def test_where_there_can_be_one_process_alone_a_second_is_told_why(tmp_path):
    first = Gate(tmp_path / "lock", alone="it is on nfs")
    with pytest.raises(StorageError, match="it is on nfs"):
        Gate(tmp_path / "lock", alone="it is on nfs")
    with first.held(0.1):
        pass
    first.close()
    Gate(tmp_path / "lock", alone="it is on nfs").close()


def test_a_gate_whose_file_was_removed_is_the_same_for_all_again(tmp_path):
    first, second = Gate(tmp_path / "lock"), Gate(tmp_path / "lock")
    with first.held(1):
        pass
    (tmp_path / "lock").unlink()
    with second.held(1), pytest.raises(StorageError, match="held by another"), first.held(0.05):
        pass
    first.close()
    second.close()


def test_size_counts_the_files_of_the_storage_and_no_neighbours(tmp_path):
    path = tmp_path / "obs.db"
    for name in ("obs.db", "obs.db-wal", "obs.db.corrupt-1", "obs.db2", "obs.db-token"):
        (tmp_path / name).write_bytes(b"x" * 4096)
    assert size_on_disk(path) == 3 * 4096


def test_a_reserve_that_is_a_symbolic_link_is_taken_away_and_not_followed(tmp_path):
    (tmp_path / "target").write_text("mine")
    (tmp_path / "obs.db-reserve").symlink_to(tmp_path / "target")
    reserve = Reserve(tmp_path / "obs.db-reserve")
    assert not reserve.make()
    assert reserve.make()
    assert (tmp_path / "target").read_text() == "mine"


def test_a_reserve_is_made_once_and_given_up_once(tmp_path):
    reserve = Reserve(tmp_path / "obs.db-reserve")
    assert reserve.make()
    assert reserve.make()
    assert (tmp_path / "obs.db-reserve").stat().st_size == SIZE
    assert reserve.drop()
    assert not reserve.drop()
    assert not Reserve(tmp_path / "missing" / "reserve").make()


@pytest.mark.asyncio
async def test_a_full_disk_costs_the_oldest_entries_and_not_the_newest(tmp_path):
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path) as storage:
        for _ in range(20):
            await storage.logs.write(entries(100, 200))
        before = await count(storage)
        await storage.run(fill)
        await storage.logs.write([LogEntry(9.0, "ERROR", "newest " + os.urandom(20_000).hex())])
        newest = [s.entry async for s in storage.logs.read(LogQuery(order="desc", limit=1))]
        assert newest[0].message.startswith("newest")
        assert 0 < await count(storage) < before
        assert not (tmp_path / "obs.db-reserve").exists()


def fill(database: Database) -> None:
    """SQLite's own bound on the file answers SQLITE_FULL, as a full disk does."""
    database.give_back()
    ((pages,),) = database.select("PRAGMA page_count")
    database.select(f"PRAGMA max_page_count={pages}")


@pytest.mark.asyncio
async def test_on_a_full_disk_no_more_goes_than_is_needed_and_it_is_said(tmp_path, capfd):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        for _ in range(28):
            await storage.logs.write(entries(1000))
        while await storage.maintain():
            pass
        await storage.run(fill)
        await storage.logs.write([LogEntry(9.0, "ERROR", "newest " + os.urandom(20_000).hex())])
        gone = await storage.run(lambda database: database.relief.gone)
        assert gone == (4000, 0)
        assert await storage.logs.count() == 24_001
    assert "4000 log entries and 0 samples, the oldest, made way" in capfd.readouterr().err


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.asyncio
async def test_on_a_full_disk_the_oldest_samples_make_way_too(tmp_path, monkeypatch, sealed):
    monkeypatch.setattr(_metric_rows, "_FEW", 10 if sealed else 10**9)
    monkeypatch.setattr(_metric_rows, "_ROWS", 10)
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        for time_ in range(60):
            await storage.metrics.write(samples(time_))
        while await storage.maintain():
            pass
        await storage.run(fill)
        for time_ in range(60, 90):
            await storage.metrics.write(samples(time_))
        gone = await storage.run(lambda database: database.relief.gone)
        assert gone.samples > 0
        assert gone.entries == 0
        assert await storage.metrics.count() == 90 * 500 - gone.samples
        assert await storage.verify() == []


def samples(time_: int) -> list[MetricSample]:
    return [MetricSample("a", random.random(), float(time_), {"n": str(n)}) for n in range(500)]


@pytest.mark.asyncio
async def test_a_write_ahead_log_that_was_removed_is_noticed(tmp_path):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        await storage.logs.write(entries(1))
        (tmp_path / "obs.db-wal").unlink()
        await storage.logs.write(entries(2))
        assert await count(storage) >= 2
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        assert await count(storage) >= 2


def beside(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.asyncio
async def test_a_journal_that_was_removed_is_made_anew_beside_a_process_that_stands_idle(tmp_path):
    path = tmp_path / "obs.db"
    code = """
import asyncio, sys
from obs_core import LogEntry, LogQuery
from obs_storage_sqlite import SQLiteStorage

async def main():
    async with SQLiteStorage(sys.argv[1]) as storage:
        await storage.logs.write([LogEntry(1.0, "INFO", "idle")])
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await storage.logs.write([LogEntry(1.0, "INFO", "idle no more")])
        print(len([one async for one in storage.logs.read(LogQuery(text="idle no more"))]), await storage.verify())

asyncio.run(main())
"""
    command = [sys.executable, "-c", code, str(path)]
    async with SQLiteStorage(path) as storage:
        with beside(command) as idle:
            assert await asyncio.to_thread(idle.stdout.readline) == "open\n"
            await storage.run(Database.checkpoint)
            await storage.logs.write(entries(5))
            (tmp_path / "obs.db-wal").unlink()
            await storage.logs.write(entries(7))
            assert await count(storage) >= 8
            output, _ = await asyncio.to_thread(idle.communicate, "go on\n", 30)
        assert output == "1 []\n"
        await storage.logs.write(entries(1))
        assert await count(storage) >= 10
        assert await storage.verify() == []


@pytest.mark.parametrize("ending", ["-wal", "-shm"])
@pytest.mark.asyncio
async def test_a_journal_that_a_newcomer_made_anew_is_noticed(tmp_path, ending):
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path) as storage:
        await storage.logs.write(entries(5))
        await storage.run(Database.checkpoint)
        (tmp_path / f"obs.db{ending}").unlink()
        code = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM head').fetchall()"
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code, str(path)], check=True)
        await storage.logs.write(entries(5))
        assert await count(storage) == 10
        assert await storage.verify() == []


def scramble(path):
    """From another process: closing the file in this one would let go of SQLite's locks."""
    code = "import sys; open(sys.argv[1], 'r+b').write(b'no database' * 4000)"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


@pytest.mark.asyncio
async def test_damage_while_it_runs_is_set_aside_and_writing_goes_on(tmp_path, capfd):
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path) as storage:
        await storage.logs.write(entries(100, 100))
        await storage.run(Database.checkpoint)
        await asyncio.to_thread(scramble, path)
        before = storage.generation
        await storage.run(
            lambda database: database.read(lambda c: c.execute("PRAGMA shrink_memory").fetchall())
        )
        for _ in range(3):
            await storage.logs.write(entries(10))
        assert await count(storage) >= 10
        assert storage.generation != before
    assert "it is kept as obs.db.corrupt-" in capfd.readouterr().err


@pytest.mark.asyncio
async def test_a_file_that_could_not_be_opened_again_is_tried_again(tmp_path):
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path) as storage:
        await storage.logs.write(entries(1))
        for ending in ("", "-wal", "-shm"):
            (tmp_path / f"obs.db{ending}").unlink()
        (tmp_path / "elsewhere").write_text("")
        path.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(StorageError, match="symbolic link"):
            await storage.logs.write(entries(1))
        path.unlink()
        await storage.logs.write(entries(3))
        assert await count(storage) == 3


@pytest.mark.asyncio
async def test_reads_that_hang_are_given_up_and_at_most_eight_wait(tmp_path, monkeypatch):
    monkeypatch.setattr("obs_storage_sqlite._storage._PATIENCE", 0.3)
    monkeypatch.setattr("obs_storage_sqlite._reading._LOOKS", 5)
    answers = asyncio.Event()

    async def hang(_connection: object) -> bool:
        return await answers.wait()

    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        reads = [asyncio.ensure_future(storage.read(hang)) for _ in range(30)]
        await asyncio.sleep(0.02)
        for read in reads[:4]:  # clients that leave
            read.cancel()
        errors = await asyncio.gather(*reads, return_exceptions=True)
        assert len(readers()) == 8
        assert {type(error) for error in errors[:4]} == {asyncio.CancelledError}
        assert all("could not be read" in str(error) for error in errors[4:])
        with pytest.raises(StorageError, match="does not answer"):
            await storage.read(hang)
        answers.set()
        await asyncio.to_thread(wait_for_the_readers, time.monotonic() + 10)
        assert readers() == []
        monkeypatch.undo()
        assert await asyncio.gather(*(count(storage) for _ in range(30))) == [0] * 30


@pytest.mark.asyncio
async def test_a_read_is_not_refused_because_the_loop_of_the_host_stood_still(tmp_path, monkeypatch):
    monkeypatch.setattr("obs_storage_sqlite._storage._PATIENCE", 0.8)
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        counting = asyncio.ensure_future(storage.logs.count())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(0.9)  # noqa: ASYNC251  # the host does what it should not
        assert await counting == 0


@pytest.mark.asyncio
async def test_commits_are_not_held_up_again_for_a_reader_that_stands(tmp_path, monkeypatch):
    path = tmp_path / "obs.db"
    waits = []

    def noted(connection: sqlite3.Connection, patience: float = 0.1) -> bool:
        waits.append(patience)
        return copy_log(connection, patience)

    async with SQLiteStorage(path) as storage, SQLiteStorage(path) as another:
        await storage.logs.write(entries(1))
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM head").fetchall()
        monkeypatch.setattr(_opening, "_LONG", 0)
        monkeypatch.setattr(_opening, "_STANDS", 60.0)
        monkeypatch.setattr(_opening, "copy_log", noted)
        os.utime(f"{path}-lock", (0, 0))
        for _ in range(3):
            await storage.logs.write(entries(1))
            await another.logs.write(entries(1))
        assert waits == [0.1, 0, 0, 0, 0, 0]
        reader.close()
        await storage.logs.write(entries(1))
        assert Path(f"{path}-wal").stat().st_size == 0  # noqa: ASYNC240  # nothing else runs


@pytest.mark.asyncio
async def test_a_query_that_is_cancelled_leaves_no_thread(tmp_path):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        await storage.logs.write(entries(3000))
        for delay in range(20):
            task = asyncio.ensure_future(count(storage))
            await asyncio.sleep(delay / 5000)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        deadline = time.monotonic() + 10
        await asyncio.to_thread(wait_for_the_readers, deadline)
        assert readers() == []


def wait_for_the_readers(deadline: float) -> None:
    while readers() and time.monotonic() < deadline:
        time.sleep(0.01)


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "_connection_worker_thread" in thread.name]


@pytest.mark.asyncio
async def test_a_read_that_failed_leaves_nothing_open_though_its_error_is_kept(tmp_path):
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path) as storage:
        await storage.logs.write(entries(1))
        await count(storage)
        before = open_files(path)  # one is kept by SQLite for whoever reads next
        kept = []
        for _ in range(3):
            with pytest.raises(StorageError, match="integer overflow") as failed:
                await storage.fetch("SELECT abs(-9223372036854775808)", ())
            kept.append(failed)
        assert open_files(path) == before


def open_files(path: Path) -> int:
    names = [one.readlink() for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
    return sum(str(name).startswith(str(path)) for name in names)


@pytest.mark.asyncio
async def test_after_three_writes_that_the_disk_refused_the_files_are_opened_anew(tmp_path):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        await storage.logs.write(entries(1))
        (before,) = [one.cursor async for one in storage.logs.read(LogQuery())]

        def refuse(_):
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
            raise error

        for _ in range(3):
            with pytest.raises(StorageError, match="disk I/O error"):
                await storage.run(lambda database: database.transaction(refuse))
        opened = await storage.run(lambda database: database._connection)
        await storage.logs.write(entries(1))
        assert await storage.run(lambda database: database._connection) is not opened
        found = [one.cursor async for one in storage.logs.read(LogQuery())]
        assert (found[0], len(found)) == (before, 2)


@pytest.mark.asyncio
async def test_pages_are_given_back_many_at_a_time(tmp_path):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        for _ in range(20):
            await storage.logs.write(entries(500, 200))
        await storage.run(lambda database: database.transaction(lambda c: c.execute("DELETE FROM head")))
        (before,) = (await storage.fetch("PRAGMA freelist_count", ()))[0]
        assert await storage.run(lambda database: database.reclaim())
        (after,) = (await storage.fetch("PRAGMA freelist_count", ()))[0]
        assert before - after >= 250


@pytest.mark.asyncio
async def test_batches_that_wait_together_are_all_stored(tmp_path):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        await asyncio.gather(*(storage.logs.write(entries(10)) for _ in range(50)))
        assert await count(storage) == 500


@pytest.mark.asyncio
async def test_batches_that_wait_together_for_the_gate_fail_together(tmp_path, monkeypatch):
    waits, lock = [], Gate._lock

    def noted(gate: Gate, seconds: float) -> None:
        waits.append(seconds)
        lock(gate, seconds)

    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        await storage.logs.write(entries(1))
        other = Gate(tmp_path / "obs.db-lock")
        with other.held(1):
            monkeypatch.setattr("obs_storage_sqlite._database.PATIENCE", 0.05)
            monkeypatch.setattr(Gate, "_lock", noted)
            busy = asyncio.ensure_future(storage.run(lambda _: time.sleep(0.1)))
            await asyncio.sleep(0)
            writes = [storage.logs.write(entries(2)) for _ in range(5)]
            errors = await asyncio.gather(*writes, return_exceptions=True)
            await busy
        other.close()
        assert ["held by another process" in str(error) for error in errors] == [True] * 5
        assert waits == [0.05]
        await storage.logs.write(entries(2))
        assert await count(storage) == 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.asyncio
async def test_a_storage_that_was_never_closed_warns(tmp_path):
    storages = [SQLiteStorage(tmp_path / "obs.db")]
    await storages[0].__aenter__()
    writer = storages[0]._writer
    with pytest.warns(ResourceWarning, match="never closed"):
        abandon(storages)
    await writer.close()


def abandon(storages: list[SQLiteStorage]) -> None:
    storages.clear()
    gc.collect()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_does_not_keep_the_gate_of_a_killed_parent(tmp_path):
    code = """
import os, signal, sys, time
from pathlib import Path
from obs_storage_sqlite._database import Database
from obs_storage_sqlite._connection import PATIENCE
database = Database(Path(sys.argv[1]))
with database._gate.held(PATIENCE):
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(30)
        os._exit(0)
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "obs.db")], stdout=subprocess.PIPE, text=True
    )
    child = int(process.stdout.readline())
    process.wait(timeout=20)
    try:
        database = Database(tmp_path / "obs.db")
        database.transaction(lambda connection: None)
        database.close()
    finally:
        os.kill(child, 9)
        process.stdout.close()
