"""A live service to look at: the shop of `examples/fastapi_example.py` under uvicorn, with its history in a folder."""

import argparse
import errno
import http.client
import os
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import composed
import traffic
from workspace import BUILD, TOP, DevError, command_line, packages

WORKERS = 2
START_DEADLINE = 60.0
STOP_DEADLINE = 30.0
TOKEN = "obs.db-token"  # noqa: S105  # the name of its file
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  # what is shown for it


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text)


def port_number(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: use 0 (any that is free) to 65535")
    return int(text)


def options(arguments: list[str]) -> argparse.Namespace:
    parser = command_line("dev.py demo", __doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=port_number, default=8000)
    parser.add_argument("--workers", type=positive, default=WORKERS)
    parser.add_argument(
        "--data", type=Path, default=Path("obs-data"), metavar="FOLDER", help="of obs.db and its token"
    )
    parser.add_argument("--no-traffic", action="store_true", help="send nothing: you are the only visitor")
    return parser.parse_args(arguments)


def free_port(host: str, port: int) -> int:
    """This port, or one that is free where it is 0. Raises `DevError` where it cannot be listened to."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as tried:
            if os.name == "posix":  # elsewhere it would share a port that is taken
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
            tried.listen()
            return int(tried.getsockname()[1])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise DevError(
                f"port {port} is taken: stop what listens there, or choose another by --port"
            ) from None
        raise DevError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None


def writable_folder(folder: Path) -> Path:
    """This folder, made where it is missing. Raises `DevError` where nothing can be written there."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder.resolve()
    except OSError as error:
        raise DevError(
            f"cannot write in {folder}: {error.strerror or error}; choose another by --data"
        ) from None


def environment() -> Path:
    """The Python of an environment with the adapter, what it needs, and a server."""
    if "obs-fastapi" not in packages():
        raise DevError("there is no obs-fastapi in this repository")
    return composed.install(BUILD / "demo", "obs-fastapi[embedded]", "uvicorn", only="obs-fastapi")


def answers(host: str, port: int, folder: Path) -> bool:
    """Whether the history can be read already: it is opened in the background."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        token = os.environ.get("OBS_TOKEN") or (folder / TOKEN).read_text(encoding="utf-8").strip()
        connection.request("GET", "/logs?limit=1", headers={"authorization": f"Bearer {token}"})
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def instructions(host: str, port: int, folder: Path) -> str:
    """The addresses, and two lines worth trying."""
    base = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    shown = os.path.relpath(folder) if folder.is_relative_to(Path.cwd()) else str(folder)
    token = f"$(cat {shlex.quote(str(Path(shown) / TOKEN))})"
    if os.environ.get("OBS_TOKEN"):
        token = "$OBS_TOKEN"  # noqa: S105  # the name, not the token
    curl = f'curl -H "Authorization: Bearer {token}"'
    return (
        f"\nmetrics: {base}/metrics\nlogs:    {base}/logs\n\n"
        f"{curl} {base}/metrics\n"
        f'{curl} "{base}/logs?level=ERROR&since=15m"\n\n'
        "Ctrl-C stops it.\n"
    )


@contextmanager
def stop_signals(stopping: Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM set the event; the handlers before are put back."""
    before = {
        number: signal.signal(number, lambda *_: stopping.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def wait_until_up(server: "subprocess.Popen[bytes]", ready: Callable[[], bool], stopping: Event) -> None:
    """Return when it answers, has ended, or is to stop."""
    deadline = time.monotonic() + START_DEADLINE
    while server.poll() is None and not ready() and not stopping.wait(0.05):
        if time.monotonic() > deadline:
            raise DevError(f"the service did not answer within {START_DEADLINE:.0f} s")


def finish(server: "subprocess.Popen[bytes]") -> bool:
    """End the server as a service manager does; whether it went in time."""
    if server.poll() is None:
        server.terminate()
    try:
        server.wait(STOP_DEADLINE)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
        return False
    return True


def serve(command: list[str], host: str, port: int, folder: Path, *, visited: bool) -> int:
    """Run the server until Ctrl-C, SIGTERM or its own end; 0 where it was asked to stop and did."""
    stopping, quiet = Event(), Event()
    customers = Thread(target=traffic.send, args=(host, port, quiet), daemon=True)
    with stop_signals(stopping):
        # In a group of its own, so that Ctrl-C reaches it once: through us, after the traffic has ended.
        apart: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {}
        server = subprocess.Popen(command, env={**os.environ, "OBS_DATA": str(folder)}, **apart)
        try:
            wait_until_up(server, lambda: answers(host, port, folder), stopping)
            if server.poll() is None and not stopping.is_set():
                print(instructions(host, port, folder), flush=True)
                if visited:
                    customers.start()
            while server.poll() is None and not stopping.wait(0.1):
                pass
            ended = server.poll()
            quiet.set()
            if customers.ident is not None:
                customers.join(traffic.TIMEOUT)
        finally:
            in_time = finish(server)
    if ended is not None:
        raise DevError(f"the service ended by itself with status {ended}: see above")
    print("stopped; what was logged is in " + str(folder / "obs.db"), flush=True)
    return 0 if in_time else 1


def main(arguments: list[str]) -> int:
    chosen = options(arguments)
    port = free_port(chosen.host, chosen.port)
    folder = writable_folder(chosen.data)
    python = environment()
    command = [
        *(str(python), "-m", "uvicorn", "fastapi_example:app", "--app-dir", str(TOP / "examples")),
        *(
            "--host",
            chosen.host,
            "--port",
            str(port),
            "--workers",
            str(chosen.workers),
            "--log-level",
            "warning",
        ),
    ]
    host = EVERYWHERE.get(chosen.host, chosen.host)
    return serve(command, host, port, folder, visited=not chosen.no_traffic)
