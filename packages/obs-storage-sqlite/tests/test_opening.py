"""Opening and closing: given up, in the middle of reading, and again."""

import asyncio
import os
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from obs_core import LogEntry, LogQuery, StorageClosedError, StorageError
from obs_storage_sqlite import SQLiteStorage
from obs_storage_sqlite._database import Database
from obs_storage_sqlite._gate import Gate

pytestmark = pytest.mark.integration


async def wait_for_the_end(path: Path) -> None:
    """Of the thread that writes; the journal is gone where the last connection was closed."""
    deadline = time.monotonic() + 10
    while any(thread.name == "obs-sqlite-writer" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert not os.path.lexists(f"{path}-wal")  # noqa: ASYNC240  # nothing else runs


@pytest.mark.asyncio
async def test_an_opening_that_is_given_up_leaves_nothing_open(tmp_path):
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path):
        pass
    gate, storage = Gate(Path(f"{path}-lock")), SQLiteStorage(path)
    with gate.held(1), pytest.raises(TimeoutError):
        await asyncio.wait_for(storage.__aenter__(), 0.1)
    gate.close()
    await wait_for_the_end(path)
    with pytest.raises(StorageClosedError):
        await storage.logs.write([LogEntry(1.0, "INFO", "x")])
    async with storage:
        await storage.logs.write([LogEntry(1.0, "INFO", "x")])
        assert await storage.logs.count() == 1


@pytest.mark.asyncio
async def test_a_close_that_is_given_up_goes_on(tmp_path):
    path = tmp_path / "obs.db"
    storage = await SQLiteStorage(path).__aenter__()
    busy = asyncio.ensure_future(storage.run(lambda _: time.sleep(0.3)))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(storage.__aexit__(None, None, None), 0.05)
    await busy
    await wait_for_the_end(path)


@pytest.mark.asyncio
async def test_an_opening_whose_loop_ended_leaves_nothing_open(tmp_path):
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path):
        pass

    async def give_up() -> None:
        opening = asyncio.ensure_future(SQLiteStorage(path).__aenter__())
        await asyncio.sleep(0.1)
        opening.cancel()

    gate = Gate(Path(f"{path}-lock"))
    with gate.held(1):
        await asyncio.to_thread(asyncio.run, give_up())
    gate.close()
    await wait_for_the_end(path)


@pytest.mark.asyncio
async def test_who_reads_while_a_storage_is_closed_and_opened_again_hears_nothing_of_it(tmp_path):
    entries = [LogEntry(float(n), "INFO", f"paid {n}") for n in range(9000)]
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        await storage.logs.write(entries)
        found = []
        async for one in storage.logs.read(LogQuery()):
            found.append(one.entry)
            if len(found) == 1:
                await storage.__aexit__(None, None, None)
                counting = asyncio.ensure_future(storage.logs.count())
                opening = asyncio.get_running_loop().create_task(storage.__aenter__())
        await opening
        assert found == entries
        assert await counting == len(entries)


@pytest.mark.asyncio
async def test_who_reads_waits_for_an_opening_that_is_under_way(tmp_path, monkeypatch):
    monkeypatch.setattr("obs_storage_sqlite._storage._MOMENT", 0.0)
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path):
        pass
    storage, gate = SQLiteStorage(path), Gate(Path(f"{path}-lock"))
    with gate.held(1):
        opening = asyncio.get_running_loop().create_task(storage.__aenter__())
        await asyncio.sleep(0)
        counting = asyncio.ensure_future(storage.logs.count())
        await asyncio.sleep(0.05)
        assert not counting.done()
    gate.close()
    await opening
    assert await counting == 0
    await storage.__aexit__(None, None, None)


@pytest.mark.asyncio
async def test_who_reads_from_a_storage_that_stays_closed_is_told_soon(tmp_path):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        pass
    for _ in range(2):
        with pytest.raises(StorageClosedError):
            await storage.logs.count()


def open_files(path: Path) -> int:
    names = [one.readlink() for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
    return sum(str(name).startswith(str(path)) for name in names)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are not listed here")
@pytest.mark.parametrize("at", ["the first look", "the upgrade"])
@pytest.mark.asyncio
async def test_an_opening_that_failed_leaves_no_file_open(tmp_path, monkeypatch, at):
    path = tmp_path / "obs.db"
    if at == "the first look":
        stranger = sqlite3.connect(path)
        stranger.execute("CREATE TABLE users (id)")
        stranger.close()
    else:

        def fail(_database: Database) -> None:
            raise StorageError("no upgrade")

        monkeypatch.setattr(Database, "_upgrade", fail)
    kept = []
    for _ in range(3):
        with pytest.raises(StorageError) as failed:
            await SQLiteStorage(path).__aenter__()
        kept.append(failed)
    assert open_files(path) == 0


@pytest.mark.asyncio
async def test_a_relative_path_is_that_of_the_start_whatever_folder_the_host_is_in(
    tmp_path, monkeypatch, capfd
):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    async with SQLiteStorage("obs.db") as storage:
        await storage.logs.write([LogEntry(1.0, "INFO", "before")])
        monkeypatch.chdir(tmp_path / "b")
        await storage.logs.write([LogEntry(1.0, "INFO", "after")])
        assert [one.entry.message async for one in storage.logs.read(LogQuery())] == ["before", "after"]
    assert list((tmp_path / "b").iterdir()) == []
    assert capfd.readouterr().err == ""


@pytest.mark.asyncio
async def test_a_job_that_comes_behind_the_closing_is_told_that_it_is_closed(tmp_path):
    storage = await SQLiteStorage(tmp_path / "obs.db").__aenter__()
    writer = storage._open_writer()  # as a write does; then another thread closes
    await storage.__aexit__(None, None, None)
    writer.doubt(sqlite3.OperationalError())
    with pytest.raises(StorageClosedError, match="is not open"):
        await asyncio.wait_for(writer.run(lambda _: None), 10)
