"""The live tail on real servers, with real clients that break off, do not read, or stay until the end."""

import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import datetime

import httpx
import pytest

pytestmark = pytest.mark.integration

HEADERS = {"authorization": "Bearer secret"}
KINDS = ["uvicorn", "uvicorn, 4 workers"]
if os.name != "nt":  # gunicorn is not for Windows
    KINDS += ["gunicorn", "gunicorn, 4 workers"]


class Tail:
    """A reader of the live tail in a thread of its own; `lines` grows while it reads."""

    def __init__(self, server, query: str = "logger=shop") -> None:
        self.lines: list[dict] = []
        self.ended = threading.Event()
        self.clean = False
        self._url = f"{server.url}/logs?follow=true&{query}"
        self._opened = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        assert self._opened.wait(30)

    def _read(self) -> None:
        try:
            with httpx.stream("GET", self._url, headers=HEADERS, timeout=60) as response:
                self.status = response.status_code
                self._opened.set()
                for line in response.iter_lines():
                    if line:
                        self.lines.append(json.loads(line) | {"seen": time.time()})
                self.clean = True
        except httpx.TransportError:
            pass
        finally:
            self._opened.set()
            self.ended.set()

    def wait_for(self, count: int, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while len(self.lines) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(self.lines) >= count


@pytest.mark.parametrize("kind", KINDS)
def test_the_entries_of_every_worker_come_in_order_and_the_stream_ends_with_the_server(kind, serve):
    server = serve(kind)
    tail = Tail(server)
    workers = {server.say(number) for number in range(40)}
    tail.wait_for(40)
    assert sorted(int(line["message"]) for line in tail.lines) == list(range(40))
    assert [line["cursor"] for line in tail.lines] == [
        line["cursor"] for line in server.logs("logger=shop&since=0")
    ]
    late = max(line["seen"] - _time(line) for line in tail.lines)
    took = server.stop()
    assert tail.ended.wait(60)
    print(f"{kind}: {len(workers)} workers answered, at most {late:.2f} s late, stopped in {took:.2f} s")
    assert tail.clean
    assert server.process.returncode in (0, -signal.SIGTERM)


def _time(line: dict) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def test_a_hundred_broken_streams_lose_and_repeat_nothing(serve):
    chance = random.Random(3)
    server = serve("uvicorn, 4 workers")
    stop, sent = threading.Event(), []

    def write() -> None:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            while not stop.is_set():
                client.get(f"/say/{len(sent)}")
                sent.append(str(len(sent)))
                time.sleep(0.005)

    server.say("begin")
    deadline = time.monotonic() + 30
    while not (first := server.logs("logger=shop&since=0")) and time.monotonic() < deadline:
        time.sleep(0.05)
    cursor, received = first[0]["cursor"], []
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(100):
            received += _read_some(server, cursor, chance.uniform(0.0, 0.25), chance)
            cursor = received[-1]["cursor"] if received else cursor
    finally:
        stop.set()
        writer.join()
    deadline = time.monotonic() + 30
    while len(received) < len(sent) and time.monotonic() < deadline:
        received += server.logs(f"logger=shop&limit=10000&after={cursor}")
        cursor = received[-1]["cursor"]
    assert len(sent) > 100
    # The entries of four workers are stored as each writes them: all, and none twice.
    assert sorted((line["message"] for line in received), key=int) == sent
    stored = server.logs("logger=shop&since=0&limit=10000")
    assert [line["cursor"] for line in received] == [line["cursor"] for line in stored][1:]


def _read_some(server, cursor: str, seconds: float, chance: random.Random) -> list[dict]:
    """The whole lines that come until the connection is broken off, at any byte."""
    request = (
        f"GET /logs?follow=true&logger=shop&after={cursor} HTTP/1.0\r\nHost: localhost\r\n"
        "Authorization: Bearer secret\r\n\r\n"
    )
    text = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(request.encode())
        connection.settimeout(0.02)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(TimeoutError):
                text += connection.recv(chance.randrange(1, 4096))
    body = text.partition(b"\r\n\r\n")[2]
    whole = body[: body.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]


def test_seventeen_streams_are_one_too_many_and_those_that_left_make_room(serve, ask):
    server = serve("uvicorn")
    connections = [ask(server, "follow=true") for _ in range(16)]
    assert all(b" 200 " in connection.recv(1000) for connection in connections)
    refused = httpx.get(f"{server.url}/logs?follow=true", headers=HEADERS, timeout=30)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    for connection in connections:
        connection.close()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with httpx.stream("GET", f"{server.url}/logs?follow=true", headers=HEADERS, timeout=30) as response:
            if response.status_code == 200:
                break
        time.sleep(0.1)
    assert response.status_code == 200


@pytest.fixture
def ask():
    """Sends a query and reads nothing; the connections are closed with the test, however it ends."""
    with ExitStack() as stack:

        def connect(server, query: str, receive_buffer: int = 0) -> socket.socket:
            connection = stack.enter_context(socket.socket())
            if receive_buffer:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            connection.settimeout(30)
            connection.connect(("127.0.0.1", server.port))
            head = f"GET /logs?{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\n\r\n"
            connection.sendall(head.encode())
            return connection

        yield connect


def test_a_stream_ends_after_its_life_and_the_reader_goes_on(serve):
    server = serve("uvicorn", OBS_TEST_LIFE="1")
    lines, streams, deadline = [], 0, time.monotonic() + 60
    for word in ("first", "second"):
        server.say(word)
        # A stream may well end before the entry is stored, which is done once a second.
        while word not in [line["message"] for line in lines] and time.monotonic() < deadline:
            tail = Tail(server, f"logger=shop&after={lines[-1]['cursor']}" if lines else "logger=shop")
            assert tail.ended.wait(30)
            assert tail.clean
            lines += tail.lines
            streams += 1
    assert [line["message"] for line in lines] == ["first", "second"]
    assert streams >= 2


def test_clients_that_do_not_read_cost_neither_memory_nor_journal_nor_a_stop_that_hangs(serve, ask, tmp_path):
    server = serve("uvicorn")
    _store(server, 5000)
    _store(server, 5000)
    with ThreadPoolExecutor(4) as pool:  # what reading costs by itself, four at once
        assert all(pool.map(server.logs, ["logger=shop&since=0&limit=10000"] * 4))
    before = _resident(server.process.pid)
    for _ in range(4):
        ask(server, "follow=true&since=0")
    grown, deadline = 0, time.monotonic() + 5
    while time.monotonic() < deadline:
        grown = max(grown, _resident(server.process.pid) - before)
        time.sleep(0.05)
    journal = 0
    for _ in range(5):
        _store(server, 1000)
        journal = max(journal, (tmp_path / "obs.db-wal").stat().st_size)
    print(f"four deaf readers of 60 MB each: memory {grown / 1e6:+.1f} MB, journal {journal / 1e6:.1f} MB")
    assert grown < 100_000_000  # of 240 MB that they have not read; a page and its block for each is in it
    assert journal < 12_000_000  # of the 15 MB that were written meanwhile
    for _ in range(4):
        ask(server, "follow=true&since=0")
    print(f"stopped in {server.stop():.2f} s")


def _store(server, times: int) -> None:
    """So many entries of 6 kB, and a last one that says that they are stored."""
    server.say("large", times=times, size=6_000)
    last = f"stored {time.monotonic()}"
    server.say(last)
    deadline = time.monotonic() + 60
    while [line["message"] for line in server.logs("logger=shop&limit=1")] != [last]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("kind", KINDS[::2])
def test_a_download_that_has_an_end_comes_to_it_though_the_server_is_to_stop(kind, serve, ask):
    server = serve(kind)
    _store(server, 2000)
    connection = ask(server, "logger=shop&since=0&limit=2000", receive_buffer=65536)
    text = connection.recv(1000)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(2)  # a reader that takes its time, while the server waits for it
    while piece := connection.recv(1 << 20):
        text += piece
    assert text.endswith(b"0\r\n\r\n")
    # On a busy machine its own end may be that of the time for a reading, which it says.
    assert text.count(b'"message":"large"') == 2000 or b'"incomplete":' in text
    server.process.wait(60)


def _resident(pid: int) -> int:
    done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(done.stdout) * 1024
