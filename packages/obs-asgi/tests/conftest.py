"""Real servers for the process tests, on loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

HERE = Path(__file__).parent
HEADERS = {"authorization": "Bearer secret"}
SERVERS = {
    "uvicorn": ["uvicorn", "--port", "{port}", "--log-level", "warning"],
    "uvicorn, 4 workers": ["uvicorn", "--port", "{port}", "--log-level", "warning", "--workers", "4"],
    "gunicorn": ["gunicorn", "-b", "127.0.0.1:{port}", "-w", "1", "-k", "uvicorn_worker.UvicornWorker"],
    "gunicorn, 4 workers": [
        "gunicorn",
        "-b",
        "127.0.0.1:{port}",
        "-w",
        "4",
        "-k",
        "uvicorn_worker.UvicornWorker",
    ],
}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Server:
    """A server as a child process, on loopback."""

    def __init__(self, kind: str, data: Path, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [part.format(port=self.port) for part in SERVERS[kind]]
        self.socket = environment.get("OBS_TEST_SOCKET")
        if self.socket:
            command = ["uvicorn", "--uds", self.socket]
        with (data / "stderr").open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command, "service:app"],
                cwd=HERE,
                env={**os.environ, "OBS_TEST_DATA": str(data), **environment},
                stderr=stderr,
            )

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError, httpx.TransportError), self._client() as client:
                if client.get("/logs", headers=HEADERS).status_code != 503:
                    return
            time.sleep(0.1)
        raise TimeoutError("the server does not answer, or ended")

    def _client(self) -> httpx.Client:
        if self.socket:
            with socket.socket(socket.AF_UNIX) as probe:  # httpx would leave one open that it cannot connect
                probe.connect(self.socket)
        transport = httpx.HTTPTransport(uds=self.socket) if self.socket else None
        return httpx.Client(transport=transport, base_url=self.url)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> float:
        """How long it took."""
        begun = time.monotonic()
        self.process.send_signal(how)
        self.process.wait(60)
        return time.monotonic() - begun

    def say(self, word: object, **parameters: object) -> str:
        return httpx.get(f"{self.url}/say/{word}", params=parameters, timeout=30).text

    def logs(self, query: str) -> list[dict]:
        response = httpx.get(f"{self.url}/logs?{query}", headers=HEADERS, timeout=30)
        assert response.status_code == 200, response.text
        return [json.loads(line) for line in response.text.splitlines()]


@contextmanager
def serving(kind: str, data: Path, **environment: str) -> Iterator[Server]:
    server = Server(kind, data, **environment)
    try:
        server.wait()
        yield server
    finally:
        if server.process.poll() is None:
            server.process.terminate()
            try:
                server.process.wait(30)
            except subprocess.TimeoutExpired:
                server.process.kill()
                server.process.wait(10)


@pytest.fixture
def serve(tmp_path) -> Iterator[Callable[..., Server]]:
    """Starts a server of a kind, with variables for its environment; it is ended with the test."""
    with ExitStack() as stack:
        yield lambda kind, **environment: stack.enter_context(serving(kind, tmp_path, **environment))
