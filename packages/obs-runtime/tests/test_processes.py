import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from obs_core import LogQuery
from obs_storage_sqlite import SQLiteStorage

pytestmark = pytest.mark.integration

HEAD = """
import logging, multiprocessing, os, signal, sys, time
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

runtime = EmbeddedRuntime(SQLiteStorage(sys.argv[1]), flush_interval=60)
log = logging.getLogger("shop")
orders = runtime.registry.counter("orders", "Orders.")
runtime.start()
runtime.flush()
"""


def run(code: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", HEAD + code, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], timeout: float = 60) -> tuple[int, str, str]:
    try:
        output, error = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.returncode, output.strip(), error


def begun(code: str, path: Path) -> subprocess.Popen[str]:
    """The same, that goes on until somebody ends it; it has come to the end of `code`."""
    process = run(f"{code}; print('ready', flush=True)\nwhile True: time.sleep(0.05)", path)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def ran(code: str) -> str:
    """What code prints that makes runtimes of its own."""
    command = [sys.executable, "-c", HEAD.partition("runtime = ")[0] + code]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def stored(path: Path) -> list[str]:
    async def read() -> list[str]:
        async with SQLiteStorage(path) as storage:
            return [one.entry.message async for one in storage.logs.read(LogQuery())]

    with asyncio.Runner() as runner:
        return runner.run(read())


@pytest.mark.parametrize(
    ("end", "status"), [("", 0), ("sys.exit(3)", 3), ("raise ValueError('the host failed')", 1)]
)
def test_what_was_logged_last_is_stored_when_the_process_ends(tmp_path, end, status):
    code, _, _ = finish(run(f"log.warning('last')\n{end}", tmp_path / "obs.db"))
    assert code == status
    assert stored(tmp_path / "obs.db") == ["last"]


@pytest.mark.parametrize("end", ["", "time.sleep(0.3)", "os.kill(os.getpid(), signal.SIGTERM)"])
def test_what_a_runtime_that_nobody_holds_was_given_is_stored_at_the_end(tmp_path, end):
    path = tmp_path / "obs.db"
    code = f"""
def main():
    runtime = EmbeddedRuntime(SQLiteStorage({str(path)!r}))
    runtime.start()
    logging.getLogger("shop").warning("last")

main()
{end}
"""
    command = [sys.executable, "-c", HEAD.partition("runtime = ")[0] + code]
    subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert stored(path) == ["last"]


def test_what_was_logged_before_an_exception_at_import_is_stored(tmp_path):
    (tmp_path / "broken.py").write_text(
        "import __main__\n__main__.log.warning('last')\nraise ValueError('broken')"
    )
    code, _, error = finish(run(f"sys.path.insert(0, {str(tmp_path)!r}); import broken", tmp_path / "obs.db"))
    assert (code, "ValueError: broken" in error) == (1, True)
    assert stored(tmp_path / "obs.db") == ["last"]


def test_os_exit_keeps_what_was_written_by_then(tmp_path):
    code = "log.warning('kept'); runtime.flush(); log.warning('perhaps'); os._exit(5)"
    assert finish(run(code, tmp_path / "obs.db"))[0] == 5
    assert stored(tmp_path / "obs.db")[:1] == ["kept"]


def test_threads_that_log_while_the_interpreter_shuts_down_neither_hang_nor_break_it(tmp_path):
    code = """
import threading
def emit(number):
    for count in range(10**9):
        log.info(f"{number} {count}")
        if not count % 100:
            time.sleep(0.0005)
for number in range(4):
    threading.Thread(target=emit, args=(number,), daemon=True).start()
time.sleep(0.2)
log.info("last")
"""
    status, _, error = finish(run(code, tmp_path / "obs.db"))
    assert (status, error) == (0, "")
    assert "last" in stored(tmp_path / "obs.db")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_a_signal_with_its_default_action_still_ends_the_process_after_the_last_write(tmp_path, number):
    process = begun("log.warning('last')", tmp_path / "obs.db")
    began = time.monotonic()
    process.send_signal(number)
    code, _, _ = finish(process)
    assert code == -number
    assert time.monotonic() - began < 2
    assert stored(tmp_path / "obs.db") == ["last"]


def test_a_handler_that_was_there_before_is_called(tmp_path):
    code = """
runtime.stop()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
runtime.start()
log.warning('last')"""
    process = begun(code, tmp_path / "obs.db")
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 7
    assert stored(tmp_path / "obs.db") == ["last"]


def test_a_signal_tells_that_the_process_stops_and_each_later_entry_is_stored_soon(tmp_path):
    code = """
import threading
signal.signal(signal.SIGTERM, lambda *_: None)
runtime.stop(); runtime.start(); runtime.flush()
runtime.on_stopping(lambda: print(threading.current_thread().name, flush=True))
os.kill(os.getpid(), signal.SIGTERM)
for number in range(20):
    log.warning(str(number)); time.sleep(0.05)
os.kill(os.getpid(), signal.SIGKILL)
"""
    _, output, _ = finish(run(code, tmp_path / "obs.db"))
    assert output == "obs-background"
    # The machine may be busy; without the hurry it would be none of them.
    assert len(stored(tmp_path / "obs.db")) >= 10


def test_ctrl_c_is_pythons_own_and_loses_nothing(tmp_path):
    process = begun("log.warning('last')", tmp_path / "obs.db")
    process.send_signal(signal.SIGINT)
    _, _, error = finish(process)
    assert "KeyboardInterrupt" in error
    assert stored(tmp_path / "obs.db") == ["last"]


def test_a_forked_child_writes_its_own_and_nothing_of_its_parents(tmp_path):
    code = """
log.warning("queued in the parent")
orders.inc(5)
runtime.collect()
pid = os.fork()
if pid == 0:
    log.warning("child")
    orders.inc()
    runtime.flush()
    print([family.values for family in runtime.collect() if family.metadata.name == "orders"], flush=True)
    os._exit(0)
os.waitpid(pid, 0)
log.warning("parent")
"""
    status, output, error = finish(run(code, tmp_path / "obs.db"))
    assert (status, error) == (0, "queued in the parent\nchild\nparent\n")  # warnings stay on the console
    assert output == "[[6.0]]"
    assert sorted(stored(tmp_path / "obs.db")) == ["child", "parent", "queued in the parent"]


def test_the_records_of_a_multiprocessing_child_are_written(tmp_path):
    code = """
context = multiprocessing.get_context("fork")
child = context.Process(target=lambda: log.warning("child"))
child.start()
child.join()
"""
    assert finish(run(code, tmp_path / "obs.db"))[0] == 0
    assert stored(tmp_path / "obs.db") == ["child"]


def test_kill_9_loses_what_was_not_flushed_and_nothing_else(tmp_path):
    code = "log.warning('kept'); runtime.flush(); log.warning('lost'); os.kill(os.getpid(), signal.SIGKILL)"
    assert finish(run(code, tmp_path / "obs.db"))[0] == -signal.SIGKILL
    assert stored(tmp_path / "obs.db") == ["kept"]


def test_two_hundred_forks_beside_a_busy_queue_neither_hang_nor_double_nor_lose(tmp_path):
    code = """
import threading
done = threading.Event()
sent = []
def emit():
    number = 0
    while not done.is_set():
        number += 1
        log.warning(f"parent {number}")
        sent[:] = [number]
        time.sleep(0.0005)
thread = threading.Thread(target=emit)
thread.start()
for number in range(200):
    pid = os.fork()
    if pid == 0:
        if number % 10:
            os._exit(0)
        log.warning(f"child {number}")
        orders.inc()
        runtime.collect()
        runtime.flush()
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0
done.set()
thread.join()
runtime.flush()
print(sent[0], *(family.values[0] for family in runtime.collect() if family.metadata.name == "orders"))
"""
    # A fork may wait for half a second where the disk is slow.
    status, output, _ = finish(run(code, tmp_path / "obs.db"), timeout=240)
    assert status == 0
    parents, total = output.split()
    assert float(total) == 20
    messages = stored(tmp_path / "obs.db")
    assert len(messages) == len(set(messages))
    assert sorted(one for one in messages if one.startswith("child")) == sorted(
        f"child {n}" for n in range(0, 200, 10)
    )
    assert {one for one in messages if one.startswith("parent")} == {
        f"parent {n + 1}" for n in range(int(parents))
    }


def test_a_child_that_prints_a_warning_does_not_wait_for_a_thread_of_its_parent(tmp_path):
    code = """
import io, threading
class Slow(io.RawIOBase):
    def writable(self):
        return True
    def write(self, data):
        time.sleep(0.002)
        return len(data)
sys.stderr = io.TextIOWrapper(io.BufferedWriter(Slow()), line_buffering=True)
done = threading.Event()
def emit():
    while not done.is_set():
        log.warning("parent")
thread = threading.Thread(target=emit)
thread.start()
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        log.warning("child")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
done.set()
thread.join()
"""
    assert finish(run(code, tmp_path / "obs.db"), timeout=120)[0] == 0


def test_a_fork_inside_the_thread_of_the_runtime_neither_hangs_nor_raises(tmp_path):
    code = """
def fork():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    print("forked", flush=True)
signal.signal(signal.SIGTERM, lambda *_: None)
runtime.stop(); runtime.start()
runtime.on_stopping(fork)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(0.5)
log.warning("after")
"""
    status, output, _ = finish(run(code, tmp_path / "obs.db"))
    assert (status, output) == (0, "forked")
    assert stored(tmp_path / "obs.db") == ["after"]


def test_a_child_that_starts_anew_and_forks_of_children_are_workers_too(tmp_path):
    code = """
runtime.stop()
orders.inc(100)
def grandchild():
    orders.inc()
    log.warning("grandchild")
    runtime.flush()
    os._exit(0)
pid = os.fork()
if pid == 0:
    runtime.start()
    orders.inc()
    log.warning("child")
    second = os.fork()
    if second == 0:
        grandchild()
    os.waitpid(second, 0)
    runtime.flush()
    print([family.values for family in runtime.collect() if family.metadata.name == "orders"], flush=True)
    os._exit(0)
os.waitpid(pid, 0)
"""
    status, output, _ = finish(run(code, tmp_path / "obs.db"))
    # The parent published nothing after its stop.
    assert (status, output) == (0, "[[2.0]]")
    assert sorted(stored(tmp_path / "obs.db")) == ["child", "grandchild"]


def test_the_records_of_a_spawned_child_that_starts_the_runtime_itself_are_written(tmp_path):
    (tmp_path / "work.py").write_text(
        """
import logging, multiprocessing, sys
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage
runtime = EmbeddedRuntime(SQLiteStorage(sys.argv[1]), flush_interval=60)
def work():
    runtime.start()
    logging.getLogger("shop").warning("child")
if __name__ == "__main__":
    for method in ("spawn", "forkserver"):
        child = multiprocessing.get_context(method).Process(target=work)
        child.start()
        child.join()
        assert child.exitcode == 0
"""
    )
    subprocess.run(
        [sys.executable, "work.py", str(tmp_path / "obs.db")], cwd=tmp_path, check=True, timeout=60
    )
    assert stored(tmp_path / "obs.db") == ["child", "child"]


def test_many_runtimes_come_and_go_without_a_trace():
    code = """
import gc, weakref, atexit
from obs_core import MemoryStorage
kept = []
for _ in range(20):
    one = EmbeddedRuntime(MemoryStorage())
    with one:
        pass
    kept.append(weakref.ref(one))
del one
gc.collect()
print(sum(ref() is not None for ref in kept), type(signal.getsignal(signal.SIGTERM)._previous).__name__)
"""
    # One handler for the process, on what was there before.
    assert ran(code) == "0 Handlers\n"


def test_a_worker_that_knows_nothing_of_the_others_says_so(tmp_path):
    (tmp_path / "service.py").write_text(
        """
import multiprocessing, time
from obs_core import MemoryStorage
from obs_runtime import EmbeddedRuntime
def serve():
    with EmbeddedRuntime(MemoryStorage()) as runtime:
        runtime.flush()
        time.sleep(0.2)
if __name__ == "__main__":
    serve()
    for _ in range(2):
        worker = multiprocessing.get_context("spawn").Process(target=serve)
        worker.start()
        worker.join()
"""
    )
    done = subprocess.run(
        [sys.executable, "service.py"], cwd=tmp_path, check=True, timeout=60, capture_output=True, text=True
    )
    # One line of each worker, none of a process that has no others.
    assert done.stderr.count("board= folder") == len(done.stderr.splitlines()) == 2


def test_streams_are_told_of_the_end_while_a_write_hangs():
    code = """
import asyncio
from obs_core import MemoryStorage
class Hanging(MemoryStorage):
    async def hang(self, entries):
        await asyncio.Event().wait()
storage = Hanging()
storage.logs.write = storage.hang
signal.signal(signal.SIGTERM, lambda *_: None)
runtime = EmbeddedRuntime(storage)
runtime.start()
runtime.on_stopping(lambda: print("stopping", flush=True))
logging.getLogger("shop").error("never")
time.sleep(0.5)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(0.5)
os._exit(0)
"""
    assert ran(code) == "stopping\n"


def test_a_handler_that_c_has_set_is_left_alone():
    code = """
import faulthandler
faulthandler.register(signal.SIGQUIT, file=open(os.devnull, "w"))
from obs_core import MemoryStorage
runtime = EmbeddedRuntime(MemoryStorage())
runtime.start()
os.kill(os.getpid(), signal.SIGQUIT)
time.sleep(0.2)
print("alive", flush=True)
os._exit(0)
"""
    assert ran(code) == "alive\n"


def test_gauges_that_were_set_before_anybody_showed_them_are_the_childs(tmp_path):
    code = """
size = runtime.registry.gauge("pool_size", "Connections.")
def child(expected):
    pid = os.fork()
    if pid == 0:
        print(size.values()[0] == expected, flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
from obs_core import MemoryStorage
other = EmbeddedRuntime(MemoryStorage())
size = other.registry.gauge("pool_size", "Connections.")
size.set(7)
child(7.0)
other.collect()
child(0.0)
"""
    status, output, _ = finish(run(code, tmp_path / "obs.db"))
    assert (status, output) == (0, "True\nTrue")
