"""A storage that does not open, or hangs: memory stands in for it, and what it held is written when it opens."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import pytest

from obs_core import (
    CursorExpiredError,
    LogEntry,
    LogQuery,
    MemoryStorage,
    MetricQuery,
    ObsError,
    StorageError,
)
from obs_runtime import EmbeddedRuntime, _background, _exits, _runtime, _standby
from obs_storage_sqlite import SQLiteStorage

pytestmark = pytest.mark.integration


def read(storage, **query) -> list[LogEntry]:
    async def found() -> list[LogEntry]:
        return [stored.entry async for stored in storage.logs.read(LogQuery(**query))]

    with asyncio.Runner() as runner:
        return runner.run(found())


def messages(storage) -> list[str]:
    return [entry.message for entry in read(storage)]


def exposed(runtime: EmbeddedRuntime) -> dict[str, float]:
    return {
        key: value
        for family in runtime.collect()
        for key, value in zip(family.keys, family.values, strict=True)
    }


def eventually(seen) -> bool:
    deadline = time.monotonic() + 20
    while not seen() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(seen())


def tried(runtime: EmbeddedRuntime) -> None:
    """Have the storage tried now, and what is queued taken over."""
    with pytest.raises(ObsError, match="could be stored"):
        runtime.flush()


def somebody_elses(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE users (name)")
        connection.commit()


def newer(path: Path) -> None:
    async def make() -> None:
        async with SQLiteStorage(path):
            pass

    with asyncio.Runner() as runner:
        runner.run(make())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=999")


def linked(path: Path) -> None:
    path.symlink_to("/dev/null")


OBSTACLES = {
    "a directory": Path.mkdir,
    "another application's file": somebody_elses,
    "a newer schema": newer,
    "a link": linked,
}


@pytest.fixture(params=OBSTACLES)
def obstructed(request, tmp_path):
    path = tmp_path / "obs.db"
    OBSTACLES[request.param](path)
    return path


def test_a_service_starts_in_any_case_and_answers_from_memory(obstructed, capfd):
    before = obstructed.read_bytes() if obstructed.is_file() else None
    board = obstructed.with_name("board")
    with EmbeddedRuntime(SQLiteStorage(obstructed), board=board, signals=False) as runtime:
        runtime.logger("shop").info("kept in memory")
        tried(runtime)
        tried(runtime)
        assert messages(runtime.storage) == ["kept in memory"]
        seen = exposed(runtime)
    assert seen["obs_storage_degraded"] == 1
    assert seen['obs_storage_errors_total{operation="open the storage"}'] >= 2
    line, end = capfd.readouterr().err.splitlines()
    assert end.startswith("obs: 1 log entries are lost at the end")
    assert line.startswith("obs: open the storage: ")
    assert str(obstructed) in line
    assert line.endswith("logs are kept in memory until then")
    if before is not None:
        assert obstructed.read_bytes() == before


def test_what_memory_held_is_written_once_when_the_storage_opens(tmp_path, capfd):
    path = tmp_path / "obs.db"
    path.mkdir()
    with EmbeddedRuntime(SQLiteStorage(path), signals=False, history_interval=0.001) as runtime:
        log = runtime.logger("shop")
        runtime.registry.counter("orders", "Orders.").inc(3)
        sent = [str(number) for number in range(2500)]
        for message in sent:
            log.info(message)
        tried(runtime)
        in_memory, cursor = runtime.storage.logs, first_cursor(runtime)
        assert eventually(lambda: samples(runtime, "orders_total"))
        (held, *_) = samples(runtime, "orders_total")
        path.rmdir()
        log.info("in the file")
        runtime.flush()
        assert messages(runtime.storage) == [*sent, "in the file"]
        assert exposed(runtime)["obs_storage_degraded"] == 0
        assert held in samples(runtime, "orders_total")
        for port, query in ((runtime.storage.logs, LogQuery(after=cursor)), (in_memory, LogQuery())):
            with pytest.raises(CursorExpiredError), asyncio.Runner() as runner:
                runner.run(anext(port.read(query)))
    assert "2500 entries of memory" in capfd.readouterr().err
    with EmbeddedRuntime(SQLiteStorage(path), signals=False) as runtime:
        runtime.flush()
        assert messages(runtime.storage) == [*sent, "in the file"]


def first_cursor(runtime: EmbeddedRuntime) -> str:
    with asyncio.Runner() as runner:
        return runner.run(anext(runtime.storage.logs.read(LogQuery()))).cursor


def samples(runtime: EmbeddedRuntime, name: str) -> list[float]:
    async def found() -> list[float]:
        return [sample.timestamp async for sample in runtime.storage.metrics.read(MetricQuery(name=name))]

    with asyncio.Runner() as runner:
        return runner.run(found())


@pytest.mark.parametrize(("max_entries", "max_bytes"), [(400, 64_000_000), (100_000, 400 * 500)])
def test_memory_keeps_to_the_bounds_of_the_queue_and_errors_longest(tmp_path, capfd, max_entries, max_bytes):
    path = tmp_path / "obs.db"
    path.mkdir()
    with EmbeddedRuntime(SQLiteStorage(path), signals=False, flush_interval=60) as runtime:
        log = runtime.logger("shop")
        runtime.handler.queue.max_entries, runtime.handler.queue.max_bytes = max_entries, max_bytes
        for number in range(20):
            log.error(f"error {number}", text="x" * 150)
            for part in range(100):
                log.info(f"info {100 * number + part}", text="x" * 150)
            tried(runtime)
            assert len(messages(runtime.storage)) <= 500
        kept = messages(runtime.storage)
        assert Counter(one.split()[0] for one in kept)["error"] == 20
        assert kept[-1] == "info 1999"
        dropped = exposed(runtime)['obs_log_entries_dropped_total{reason="storage"}']
        assert dropped + len(kept) == 2020
        path.rmdir()
        runtime.flush()
        assert messages(runtime.storage) == kept


def test_a_strict_runtime_does_not_start_without_its_storage(obstructed):
    now = [0.0]
    runtime = EmbeddedRuntime(SQLiteStorage(obstructed), signals=False, strict=True, monotonic=lambda: now[0])
    with pytest.raises(StorageError, match=str(obstructed)):
        runtime.start()
    assert not runtime.running
    if obstructed.is_dir():
        obstructed.rmdir()
        # Not tried again at each request.
        with pytest.raises(StorageError, match=r"is a folder: name a file \(tried within the last 10 s\)"):
            runtime.start()
        now[0] = 10.0
        with runtime:
            runtime.logger("shop").info("stored")
            runtime.flush()
            assert messages(runtime.storage) == ["stored"]


def test_no_right_to_write_is_survived_in_memory(tmp_path):
    """As another user, since root may write everywhere."""
    code = f"""
import asyncio, os, sys
from obs_core import LogQuery, ObsError
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage
os.setgroups([]); os.setgid(65534); os.setuid(65534)
runtime = EmbeddedRuntime(SQLiteStorage({str(tmp_path / "obs.db")!r}), signals=False)
with runtime:
    runtime.logger("shop").info("kept in memory")
    try:
        runtime.flush()
    except ObsError:
        pass
    async def read():
        return [one.entry.message async for one in runtime.storage.logs.read(LogQuery())]
    print(asyncio.run(read()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "['kept in memory']\n"
    assert "open the storage" in done.stderr
    assert list(tmp_path.iterdir()) == []


class Hanging(MemoryStorage):
    """Real, but what is named does not end before it is let go."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what, self.free = what, False
        self.logs.write = self.write

    async def hang(self, what: str) -> None:
        while what == self.what and not self.free:  # noqa: ASYNC110  # another thread lets go
            await asyncio.sleep(0.01)

    async def write(self, entries: list[LogEntry]) -> None:
        await self.hang("write")
        self.logs.table.append(entries)

    async def __aenter__(self) -> "Hanging":
        await self.hang("open")
        return await super().__aenter__()

    async def __aexit__(self, *error: object) -> None:
        await self.hang("close")
        await super().__aexit__(None, None, None)


def test_a_storage_that_opens_late_gets_what_memory_held(monkeypatch, capfd):
    monkeypatch.setattr(_standby, "PATIENCE", 0.05)
    monkeypatch.setattr(_standby, "_SHORT", 0.05)
    storage = Hanging("open")
    with EmbeddedRuntime(storage, signals=False, flush_interval=0.02) as runtime:
        runtime.logger("shop").info("early")
        with suppress(ObsError):
            runtime.flush()
        assert eventually(lambda: messages(runtime.storage) == ["early"])
        assert exposed(runtime)["obs_storage_degraded"] == 1
        runtime.logger("shop").info("late")
        storage.free = True
        assert eventually(lambda: exposed(runtime)["obs_storage_degraded"] == 0)
        runtime.flush()
        assert messages(storage) == ["early", "late"]
    assert "does not open" in capfd.readouterr().err


def test_a_storage_that_opens_while_the_runtime_stops_gets_what_memory_held(monkeypatch, capfd):
    monkeypatch.setattr(_standby, "PATIENCE", 0.05)
    monkeypatch.setattr(_standby, "_SHORT", 0.05)
    # Longer than a busy machine needs.
    monkeypatch.setattr(_background, "_END", 20.0)
    monkeypatch.setattr(_runtime, "_STOP", 20.0)
    storage = Hanging("open")
    runtime = EmbeddedRuntime(storage, signals=False, flush_interval=0.02)
    with runtime:
        runtime.logger("shop").info("early")
        assert eventually(lambda: runtime.storage.in_memory)
        timer = threading.Timer(0.3, lambda: setattr(storage, "free", True))
        timer.start()
    timer.join()
    assert "lost" not in capfd.readouterr().err
    with runtime:
        runtime.flush()
        assert messages(storage) == ["early"]


@pytest.mark.parametrize("what", ["open", "write"])
def test_a_storage_that_hangs_is_told_by_whoever_is_asked_for_metrics(what):
    storage, now = Hanging(what), [0.0]
    runtime = EmbeddedRuntime(storage, signals=False, monotonic=lambda: now[0])
    with runtime:
        runtime.logger("shop").info("waits")
        assert eventually(lambda: runtime._status._waiting_since is not None)
        assert exposed(runtime)["obs_storage_degraded"] == 0
        now[0] += 5.1
        assert exposed(runtime)["obs_storage_degraded"] == 1
        storage.free = True
        runtime.flush()
        assert eventually(lambda: exposed(runtime)["obs_storage_degraded"] == 0)


@pytest.mark.parametrize("what", ["open", "write", "close"])
def test_a_storage_that_hangs_for_ever_keeps_neither_forks_nor_the_end(what, tmp_path):
    code = f"""
import os, sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_standby import Hanging
from obs_runtime import EmbeddedRuntime
runtime = EmbeddedRuntime(Hanging({what!r}), board={str(tmp_path / "live")!r})
runtime.start()
runtime.logger("shop").error("never")
orders = runtime.registry.counter("orders", "Orders.")
time.sleep(0.2)
longest = 0.0
for _ in range(5):
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        orders.inc()
        runtime.collect()
        os._exit(0)
    longest = max(longest, time.monotonic() - began)
    os.waitpid(pid, 0)
[total] = [family.values[0] for family in runtime.collect() if family.metadata.name == "orders"]
began = time.monotonic()
runtime.stop()
print(total, longest, time.monotonic() - began, flush=True)
"""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    total, longest, stopping = map(float, done.stdout.split())
    assert total == 5
    print(f"{what} hangs: a fork {longest:.3f} s, the stop {stopping:.2f} s")
    # Bounds of 0.55 and 2 s, on a machine that may be busy.
    assert longest < 3
    assert stopping < 5
    assert time.monotonic() - began < 60


class Slow(MemoryStorage):
    """Real, but opens after so many seconds; with a `file` it changes that all the while, as an upgrade does."""

    def __init__(self, seconds: float, file: Path | None = None) -> None:
        super().__init__()
        self.seconds, self.file = seconds, file

    @property
    def path(self) -> Path | None:
        return self.file

    async def __aenter__(self) -> "Slow":
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            await asyncio.sleep(0.01)
            if self.file is not None:
                self.file.write_text(str(time.monotonic()))
        return await super().__aenter__()


def test_a_strict_runtime_waits_for_a_storage_that_opens_slowly_and_for_an_upgrade(tmp_path, monkeypatch):
    for module in (_standby, _runtime):
        monkeypatch.setattr(module, "PATIENCE", 0.1)
    monkeypatch.setattr(_runtime, "_OPENING", 1.0)
    for storage in (Slow(0.4), Slow(2.5, tmp_path / "obs.db")):
        with EmbeddedRuntime(storage, board=tmp_path / "live", signals=False, strict=True) as runtime:
            runtime.logger("shop").info("stored")
            runtime.flush()
            assert messages(storage) == ["stored"]


def test_a_strict_runtime_does_not_wait_for_ever(monkeypatch):
    for module in (_standby, _runtime):
        monkeypatch.setattr(module, "PATIENCE", 0.1)
    monkeypatch.setattr(_runtime, "_OPENING", 0.3)
    monkeypatch.setattr(_runtime, "_STOP", 0.1)
    storage = Hanging("open")
    with pytest.raises(StorageError, match=r"did not open in 0\.3 s"):
        EmbeddedRuntime(storage, signals=False, strict=True).start()
    storage.free = True


def test_a_strict_runtime_takes_what_others_write_for_an_upgrade_not_for_ever(monkeypatch, tmp_path):
    for module in (_standby, _runtime):
        monkeypatch.setattr(module, "PATIENCE", 0.1)
    monkeypatch.setattr(_standby, "_UPGRADE", 0.5)
    monkeypatch.setattr(_standby, "_LOOK", 0.0)
    monkeypatch.setattr(_runtime, "_OPENING", 2.0)
    monkeypatch.setattr(_runtime, "_STOP", 0.1)

    class Shared(Hanging):
        path = tmp_path / "obs.db"

    storage, done = Shared("open"), threading.Event()

    def write() -> None:
        journal = tmp_path / "obs.db-wal"
        while not done.is_set():
            journal.write_bytes(b"")
            journal.unlink()

    other = threading.Thread(target=write)
    other.start()
    try:
        runtime = EmbeddedRuntime(storage, signals=False, strict=True)
        with pytest.raises(StorageError, match="did not open"):
            runtime.start()
        assert not runtime.running
    finally:
        done.set()
        other.join()
        storage.free = True


def test_who_starts_a_strict_runtime_again_does_not_wait_for_the_first():
    storage = Hanging("open")
    runtime = EmbeddedRuntime(storage, signals=False, strict=True)
    first = threading.Thread(target=runtime.start)
    first.start()
    try:
        assert eventually(lambda: runtime.storage.is_opening)
        _exits.look_again()
        runtime.start()
        assert first.is_alive()
    finally:
        storage.free = True
        first.join()
    runtime.stop()


@pytest.mark.parametrize("signal", ["none", "SIGTERM", "stop"])
def test_what_no_storage_has_taken_at_the_end_is_counted_and_told(signal, tmp_path):
    (tmp_path / "obs.db").mkdir()
    code = f"""
import signal, sys
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage
runtime = EmbeddedRuntime(SQLiteStorage({str(tmp_path / "obs.db")!r}), board={str(tmp_path / "live")!r})
runtime.start()
for number in range(300):
    runtime.logger("shop").info(str(number))
if {signal!r} == "SIGTERM":
    signal.raise_signal(signal.SIGTERM)
if {signal!r} == "stop":
    runtime.stop()
"""
    with EmbeddedRuntime(MemoryStorage(), board=tmp_path / "live", signals=False) as beside:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
        )
        seen = exposed(beside)
    assert seen["obs_log_entries_total"] == seen['obs_log_entries_dropped_total{reason="storage"}'] == 300
    (line,) = [line for line in done.stderr.splitlines() if "at the end" in line]
    assert line.startswith("obs: 300 log entries are lost at the end: SQLiteStorage(")
    assert line.endswith("is a folder: name a file")
