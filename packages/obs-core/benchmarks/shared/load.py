"""Real servers on loopback, and load on them from a process of its own: wrk where it is, else a client of sockets."""

import asyncio
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

CONNECTIONS = 8


@contextmanager
def serving(command: Sequence[str], folder: Path, **environment: str) -> Iterator[str]:
    """The address of a server, from when it answers; `{port}` in the command is the port that it is to take.

    What it says goes to the file `said` in the folder.
    """
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    folder.mkdir(exist_ok=True)
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", *(part.format(port=port) for part in command)],
            env={**os.environ, **environment},
            stdout=said,
            stderr=said,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def anew(command: Sequence[str], folder: Path, path: str, seconds: float, **environment: str) -> float:
    """Requests a second of a server that is started for it, in a folder that is empty.

    Where a process lies in memory makes several percent; and what another left there is worked on at the start.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with serving(command, folder, **environment) as url:
        rate(url + path, seconds / 2)  # warms up
        return rate(url + path, seconds)


def rate(url: str, seconds: float) -> float:
    """Requests a second that were answered."""
    wrk = shutil.which("wrk")
    if wrk is None:
        command = [sys.executable, __file__, url, str(seconds)]
    else:
        command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{math.ceil(seconds)}s", url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said:
        raise RuntimeError(said)
    return float(re.search(r"Requests/sec:\s*([\d.]+)", said)[1])


def client() -> str:
    """What makes the load."""
    return f"wrk, {CONNECTIONS} connections" if shutil.which("wrk") else f"{CONNECTIONS} sockets of asyncio"


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), urlopen(url):
            return
        time.sleep(0.05)
    raise TimeoutError("the server does not answer, or ended")


async def _ask(host: str, port: int, path: str, until: float) -> int:
    """One connection, asked again and again, opened anew where the server closes it; how many answers came."""
    asked = f"GET {path or '/'} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    answers = 0
    while time.monotonic() < until:
        reader, writer = await asyncio.open_connection(host, port)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while time.monotonic() < until:
                writer.write(asked)
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length:\s*(\d+)", head, re.IGNORECASE)
                await reader.readexactly(int(length[1]) if length else 0)
                answers += head.startswith(b"HTTP/1.1 2")
        writer.close()
    return answers


async def _load(url: str, seconds: float) -> None:
    host, port, path = re.fullmatch(r"http://([\d.]+):(\d+)(/.*)?", url).groups()
    until = time.monotonic() + seconds
    answers = await asyncio.gather(*(_ask(host, int(port), path, until) for _ in range(CONNECTIONS)))
    print(f"Requests/sec: {sum(answers) / seconds:.1f}")


if __name__ == "__main__":
    asyncio.run(_load(sys.argv[1], float(sys.argv[2])))
