"""Forks: what the child wrote is there, whatever its parent was doing, and nothing hangs."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from obs_core import LogQuery
from obs_storage_sqlite import SQLiteStorage

pytestmark = pytest.mark.integration


def ended(code: str, *arguments: object, options: tuple[str, ...] = ()) -> tuple[str, str]:
    """What it printed, and its errors."""
    command = [sys.executable, *options, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout, done.stderr


async def messages(path: Path) -> list[str]:
    async with SQLiteStorage(path) as storage:
        return [one.entry.message async for one in storage.logs.read(LogQuery())]


FORKED = """
import asyncio, os, sys, threading
from obs_core import LogEntry, LogQuery, StorageError
from obs_storage_sqlite import SQLiteStorage
from obs_storage_sqlite._forks import inside_sqlite

async def write(storage, text):
    await storage.logs.write([LogEntry(1.0, "INFO", text)])

async def opened(path):
    return await SQLiteStorage(path).__aenter__()

run = asyncio.new_event_loop().run_until_complete
storage = run(opened(sys.argv[1]))
run(write(storage, "before"))
"""


def test_what_a_forked_child_wrote_stays_when_its_parent_closes_the_file(tmp_path):
    """SQLite would have taken the parent's locks for the child's, and the parent have removed the journal."""
    code = """
told, closed = os.pipe(), os.pipe()
if os.fork() == 0:
    run = asyncio.new_event_loop().run_until_complete
    child = run(opened(sys.argv[1]))
    run(write(child, "child"))
    os.write(told[1], b".")
    os.read(closed[0], 1)
    run(write(child, "child, after the parent closed"))
    os._exit(0)
os.read(told[0], 1)
run(write(storage, "parent"))
run(storage.__aexit__(None, None, None))
os.write(closed[1], b".")
os.wait()
"""
    output, error = ended(FORKED + code, tmp_path / "obs.db")
    assert (output, error) == ("", "")
    expected = ["before", "child", "parent", "child, after the parent closed"]
    assert asyncio.run(messages(tmp_path / "obs.db")) == expected


def test_a_child_of_a_fork_while_a_write_waits_for_its_turn_opens_the_file(tmp_path):
    code = """
import time
from pathlib import Path
from obs_storage_sqlite import _gate

waiting = threading.Event()

def pause():
    waiting.set()
    time.sleep(0.001)

_gate.pause = pause
with _gate.Gate(Path(sys.argv[1] + "-lock")).held(5):
    thread = threading.Thread(target=lambda: run(write(storage, "parent")))
    thread.start()
    waiting.wait()
    if os.fork() == 0:
        try:
            run = asyncio.new_event_loop().run_until_complete
            child = run(opened(sys.argv[1]))
            run(write(child, "child"))
            run(child.__aexit__(None, None, None))
        except BaseException as error:
            print(error, flush=True)
        os._exit(0)
thread.join()
os.wait()
run(storage.__aexit__(None, None, None))
"""
    assert ended(FORKED + code, tmp_path / "obs.db") == ("", "")
    first, *others = asyncio.run(messages(tmp_path / "obs.db"))
    assert (first, sorted(others)) == ("before", ["child", "parent"])


def test_a_child_of_a_fork_in_the_middle_of_a_write_that_hangs_does_not_open_the_file(tmp_path):
    code = """
hanging, freed = threading.Event(), threading.Event()
def hang():
    with inside_sqlite():
        hanging.set()
        freed.wait()
thread = threading.Thread(target=hang)
thread.start()
hanging.wait()
if os.fork() == 0:
    try:
        asyncio.new_event_loop().run_until_complete(opened(sys.argv[1]))
    except StorageError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
freed.set()
thread.join()
run(write(storage, "after"))
run(storage.__aexit__(None, None, None))
"""
    output, error = ended(FORKED + code, tmp_path / "obs.db")
    assert ("when this process was forked" in output, error) == (True, "")
    assert asyncio.run(messages(tmp_path / "obs.db")) == ["before", "after"]


@pytest.mark.parametrize("where", ["the event loop", "another thread"])
def test_what_a_child_of_a_fork_beside_reads_wrote_stays_when_its_parent_closes_the_file(where, tmp_path):
    """A connection that reads, left open in the child, would have done it too."""
    code = """
told, closed = os.pipe(), os.pipe()

def child():
    asyncio._set_running_loop(None)
    run = asyncio.new_event_loop().run_until_complete
    storage = run(opened(sys.argv[1]))
    for number in range(8):
        run(write(storage, f"child {number}"))
    os.write(told[1], b".")
    os.read(closed[0], 1)
    for number in range(8, 16):
        run(write(storage, f"child {number}"))
    os._exit(0)

def fork():
    if os.fork() == 0:
        try:
            child()
        finally:
            os._exit(1)

async def in_the_middle(connection):
    await connection.execute_fetchall("SELECT count(*) FROM head")
    if sys.argv[2] == "the event loop":
        fork()
    else:
        await asyncio.to_thread(fork)
    return await connection.execute_fetchall("SELECT count(*) FROM head")

assert run(storage.read(in_the_middle)) == [(1,)]
os.read(told[0], 1)
run(storage.__aexit__(None, None, None))
os.write(closed[1], b".")
assert os.wait()[1] == 0
"""
    output, error = ended(FORKED + code, tmp_path / "obs.db", where)
    assert (output, error) == ("", "")
    expected = ["before", *(f"child {number}" for number in range(16))]
    assert asyncio.run(messages(tmp_path / "obs.db")) == expected


@pytest.mark.parametrize("place", ["on its way into a statement", "between two statements"])
def test_a_child_neither_waits_for_a_read_of_its_parent_nor_is_it_warned_of_it(place, tmp_path):
    code = """
import asyncio, gc, os, sys, traceback
from obs_core import LogEntry
from obs_storage_sqlite import SQLiteStorage

async def slow(connection):
    for _ in range(20):
        await connection.execute_fetchall("SELECT count(*) FROM head")
        await asyncio.sleep(0 if sys.argv[2] == "on its way into a statement" else 0.01)

kept = []

def forget(loop, main_task):
    # As where they are collected: the loop and its selector are the parent's, so it must not run here.
    try:
        # The tasks themselves are the host's matter, with or without a storage: kept to the end.
        kept.extend(asyncio.all_tasks(loop) - {main_task})
        for task in kept:
            task.get_coro().close()
        gc.collect()
    except BaseException:
        traceback.print_exc()

async def main():
    loop, main_task = asyncio.get_running_loop(), asyncio.current_task()
    loop.slow_callback_duration = 60.0  # a machine that is busy is no warning
    async with SQLiteStorage(sys.argv[1]) as storage:
        reading = asyncio.create_task(storage.read(slow))
        for _ in range(6):
            await asyncio.sleep(0.002)
        if not os.fork():
            try:
                forget(loop, main_task)
            finally:
                os._exit(3)
        assert os.waitstatus_to_exitcode(os.wait()[1]) == 3
        await reading
        await storage.logs.write([LogEntry(1.0, "INFO", "parent")])

asyncio.run(main())
"""
    path = tmp_path / "obs.db"
    assert ended(code, path, place, options=("-X", "dev", "-W", "error")) == ("", "")
    assert asyncio.run(messages(path)) == ["parent"]


def test_a_fork_in_the_middle_of_a_long_search_forbids_its_file_to_the_child(tmp_path):
    """The one that writes may be closed by then: what reads is a connection too."""
    code = """
run(storage.__aexit__(None, None, None))
inside, freed = threading.Event(), threading.Event()

async def search(connection):
    def wait():
        inside.set()
        freed.wait()
        return 1
    await connection.create_function("wait", 0, wait)
    return await connection.execute_fetchall("SELECT wait() FROM head")

async def reader():
    async with SQLiteStorage(sys.argv[1]) as other:
        task = asyncio.create_task(other.read(search))
        await asyncio.to_thread(inside.wait)
        await other.__aexit__(None, None, None)
        if os.fork() == 0:
            asyncio._set_running_loop(None)
            try:
                asyncio.new_event_loop().run_until_complete(opened(sys.argv[1]))
            except StorageError as error:
                print(error, flush=True)
            os._exit(0)
        os.wait()
        freed.set()
        assert await task == [(1,)]

run(reader())
"""
    output, error = ended(FORKED + code, tmp_path / "obs.db")
    assert ("when this process was forked" in output, error) == (True, "")


def test_who_reads_in_a_series_of_forks_waits_for_its_end_and_hears_of_no_error(tmp_path):
    """A runtime opens the storage again when no more forks come."""
    code = """
import time
from obs_storage_sqlite import _storage
_storage._MOMENT = 0.6
run(storage.__aexit__(None, None, None))
reader = threading.Thread(target=lambda: print(asyncio.run(storage.logs.count())))
reader.start()
for _ in range(9):
    if os.fork() == 0:
        os._exit(0)
    os.wait()
    time.sleep(0.1)
run(storage.__aenter__())
reader.join()
run(storage.__aexit__(None, None, None))
"""
    assert ended(FORKED + code, tmp_path / "obs.db") == ("1\n", "")
