"""The project on real servers, as processes on loopback."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).parent / "project"
# A machine that is busy with other things takes its time to import Django in each worker.
DEADLINE = 90.0
GUNICORN = ["gunicorn", "shop.wsgi:application", "--bind", "127.0.0.1:{port}"]
UVICORN = ["uvicorn", "shop.asgi:application", "--port", "{port}", "--no-access-log"]
WSGIREF = """
from wsgiref.simple_server import make_server
from shop.wsgi import application
make_server("127.0.0.1", {port}, application).serve_forever()
"""
SERVERS = {
    "wsgiref": [
        "-c",
        WSGIREF,
    ],
    "gunicorn sync": ["-m", *GUNICORN, "--workers", "2"],
    "gunicorn sync preload": ["-m", *GUNICORN, "--workers", "2", "--preload"],
    "gunicorn gthread": ["-m", *GUNICORN, "--workers", "2", "--worker-class", "gthread", "--threads", "4"],
    "gunicorn gthread preload": ["-m", *GUNICORN, "--worker-class", "gthread", "--threads", "4", "--preload"],
    "uvicorn": ["-m", *UVICORN],
    "uvicorn workers": ["-m", *UVICORN, "--workers", "2"],
    "runserver": ["manage.py", "runserver", "127.0.0.1:{port}"],
}


class Server:
    """A server with the project; its data are in a folder. It is stopped at the end of the block.

    By SIGTERM, but `runserver` as by ctrl-C: its parent kills the child that serves when SIGTERM comes.
    """

    def __init__(self, name: str, folder: Path, *arguments: str, **environment: str) -> None:
        self.name = name
        self.port = _free_port()
        self.folder = folder
        command = [argument.replace("{port}", str(self.port)) for argument in SERVERS[name]]
        with (folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command, *arguments],
                cwd=PROJECT,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={
                    **os.environ,
                    "PYTHONPATH": str(PROJECT),
                    "DJANGO_SETTINGS_MODULE": "shop.settings",
                    "SHOP_FOLDER": str(folder),
                    **environment,
                },
            )

    def __enter__(self) -> "Server":
        try:
            wait_for(self._listens, "the server listens", self.output)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        if self.process.poll() is None:
            if self.name == "runserver":
                os.killpg(self.process.pid, signal.SIGINT)
            else:
                self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(DEADLINE)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def get(self, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("GET", path, headers={"authorization": "Bearer sesame", **sent})
            response = connection.getresponse()
            return response.status, response.read(), {k.lower(): v for k, v in response.getheaders()}
        finally:
            connection.close()

    def leave(self, path: str, after: bytes = b"") -> None:
        """Ask, read until `after` was seen, and leave."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            seen = b""
            while after not in seen:
                seen += connection.recv(4096)

    def output(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")

    def _listens(self) -> bool:
        assert self.process.poll() is None, self.output()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def wait_for(condition, what, explain=lambda: ""):
    """Ask until it is so; an error after the deadline."""
    deadline = time.monotonic() + DEADLINE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in {DEADLINE} s: {what}\n{explain()}"
        time.sleep(0.05)
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
