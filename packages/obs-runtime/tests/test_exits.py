"""What is lost when a server ends, on real servers: a thread logs every 2 ms and notes how far it came."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from obs_core import LogQuery
from obs_storage_sqlite import SQLiteStorage

pytestmark = pytest.mark.integration

APPLICATION = """
import logging, os, threading, time
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

DATA = os.environ["DATA"]
runtime = EmbeddedRuntime(SQLiteStorage(f"{DATA}/obs.db"))
emitting = []

def emit():
    log, pid = logging.getLogger("emitter"), os.getpid()
    note = os.open(f"{DATA}/{pid}.sent", os.O_CREAT | os.O_RDWR)
    number = 0
    while True:
        number += 1
        log.info(f"{pid} {number}")
        os.pwrite(note, b"%d" % number, 0)
        time.sleep(0.002)

def begin():
    runtime.start()
    if os.getpid() not in emitting:
        emitting.append(os.getpid())
        threading.Thread(target=emit, daemon=True).start()

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        begin()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        runtime.stop()
        await send({"type": "lifespan.shutdown.complete"})
        return
    begin()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})

def wsgi(environ, start_response):
    begin()
    start_response("200 OK", [("content-length", "0")])
    return [b""]
"""
UVICORN = ["-m", "uvicorn", "application:asgi", "--log-level", "warning", "--port"]
GUNICORN = ["-m", "gunicorn", "--log-level", "critical", "--graceful-timeout", "5", "-b"]
SERVERS = {
    "uvicorn": [*UVICORN, "PORT"],
    "uvicorn, no lifespan": [*UVICORN, "PORT", "--lifespan", "off"],
    "uvicorn, 2 workers": [*UVICORN, "PORT", "--workers", "2"],
    "uvicorn, 2 workers, no lifespan": [*UVICORN, "PORT", "--workers", "2", "--lifespan", "off"],
    "gunicorn sync": [*GUNICORN, "127.0.0.1:PORT", "-w", "2", "application:wsgi"],
    "gunicorn sync, preload": [*GUNICORN, "127.0.0.1:PORT", "-w", "2", "--preload", "application:wsgi"],
    "gunicorn gthread": [*GUNICORN, "127.0.0.1:PORT", "-w", "2", "-k", "gthread", "application:wsgi"],
    "gunicorn uvicorn": [
        *(*GUNICORN, "127.0.0.1:PORT", "-w", "2"),
        *("-k", "uvicorn_worker.UvicornWorker", "application:asgi"),
    ],
    # The application, and the runtime with it, is made in the master; it starts in the worker's main thread.
    "gunicorn uvicorn, preload": [
        *(*GUNICORN, "127.0.0.1:PORT", "-w", "2", "--preload"),
        *("-k", "uvicorn_worker.UvicornWorker", "application:asgi"),
    ],
}
# SIGQUIT of gunicorn's uvicorn workers is left out: they stay for ever, with us and without.
SIGNALS = [
    (server, number)
    for server in SERVERS
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
    if not (number == signal.SIGQUIT and "uvicorn" in server)
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def sent(folder: Path) -> dict[str, int]:
    return {path.stem: int(path.read_text() or 0) for path in folder.glob("*.sent")}


def stored(folder: Path) -> dict[str, int]:
    async def read() -> dict[str, int]:
        counts: dict[str, int] = {}
        async with SQLiteStorage(folder / "obs.db") as storage:
            async for one in storage.logs.read(LogQuery(logger="emitter")):
                pid = one.entry.message.partition(" ")[0]
                counts[pid] = counts.get(pid, 0) + 1
        return counts

    with asyncio.Runner() as runner:
        return runner.run(read())


def serve(folder: Path, server: str) -> tuple["subprocess.Popen[bytes]", int]:
    (folder / "application.py").write_text(APPLICATION)
    port = free_port()
    command = [part.replace("PORT", str(port)) for part in SERVERS[server]]
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "DATA": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    workers = 2 if "2 workers" in server or "gunicorn" in server else 1
    deadline = time.monotonic() + 30
    # Long enough that each has written some batches.
    while time.monotonic() < deadline:
        asked = ask(port)
        counts = sent(folder)
        if asked and len(counts) >= workers and min(counts.values()) > 600:
            return process, port
        time.sleep(0.02)
    end(process)
    raise AssertionError(f"{server} did not begin in time")


def end(process: "subprocess.Popen[bytes]") -> int:
    try:
        return process.wait(timeout=15)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def lost(folder: Path) -> list[int]:
    there = stored(folder)
    return [count - there.get(pid, 0) for pid, count in sent(folder).items()]


@pytest.mark.parametrize(("server", "number"), SIGNALS, ids=lambda value: getattr(value, "name", value))
def test_a_signal_loses_next_to_nothing(tmp_path, server, number):
    process, _ = serve(tmp_path, server)
    process.send_signal(number)
    status = end(process)
    losses = lost(tmp_path)
    print(f"{server}, {number.name}: status {status}, lost of 500/s in each worker: {losses}")
    # 10 are 20 ms. The machine may be busy, and the emitter goes on while the interpreter is taken down.
    assert max(losses) <= 75


@pytest.mark.parametrize(
    "server", ["uvicorn, 2 workers", "gunicorn sync", "gunicorn gthread", "gunicorn uvicorn"]
)
def test_a_kill_loses_one_flush_interval(tmp_path, server):
    process, _ = serve(tmp_path, server)
    os.killpg(process.pid, signal.SIGKILL)
    end(process)
    losses = lost(tmp_path)
    print(f"{server}, SIGKILL: lost of 500/s in each worker: {losses}")
    # 500 are one interval of 1 s.
    assert max(losses) <= 1000


def test_a_worker_that_is_busy_when_told_to_stop_is_written_until_its_end(tmp_path):
    code = """
import os, signal, sys, time
sys.path.insert(0, ".")
import application
signal.signal(signal.SIGTERM, lambda *_: None)
application.begin()
application.runtime.flush()
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(2)
os.kill(os.getpid(), signal.SIGKILL)
"""
    (tmp_path / "application.py").write_text(APPLICATION)
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "DATA": str(tmp_path)}
    )
    assert end(process) == -signal.SIGKILL
    losses = lost(tmp_path)
    print(f"busy worker, SIGTERM, then SIGKILL: lost {losses}")
    assert max(losses) <= 75


AT_ONCE = """
import logging, sys
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

runtime = EmbeddedRuntime(SQLiteStorage(sys.argv[1]))
runtime.start()
logging.getLogger("cron").warning("all there is")
"""


@pytest.mark.asyncio
async def test_a_process_that_ends_right_after_its_first_line_has_stored_it(tmp_path):
    for number in range(10):
        path = tmp_path / f"{number}.db"
        process = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", AT_ONCE, str(path)],
            timeout=60,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (process.returncode, process.stderr) == (0, "all there is\n")  # warnings stay on the console
        async with SQLiteStorage(path) as storage:
            found = [one.entry.message async for one in storage.logs.read(LogQuery(logger="cron"))]
        assert found == ["all there is"]
