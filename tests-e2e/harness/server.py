"""A real process that serves on loopback."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from .client import CLIENT
from .places import environment
from .waiting import until

_numbers = count(1)


class ServerFailedError(Exception):
    """The process ended, or was not ready in time; the message holds its output."""


class Server:
    """Starts on entry and waits until it answers; on exit it is ended, and its output shown.

    `ready` is a path whose answer, whatever its status, says that it serves. The process leads a group of
    its own, so that a ctrl-C can be sent as a terminal sends it, and no child outlives the test.
    """

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        folder: Path,
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        ready: str = "/",
        deadline: float = 40.0,
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self._command = [str(part) for part in command]
        self._cwd = cwd or folder
        self._env = environment(env or {})
        self._ready = ready
        self._deadline = deadline
        self._log = folder / f"{Path(self._command[0]).name}-{next(_numbers)}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._cwd,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()
        print(f"--- {' '.join(self._command)}\n{self.output}", flush=True)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServerFailedError("not started")
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        """What it wrote to stdout and stderr so far."""
        return self._log.read_text(errors="replace")

    @property
    def log_file(self) -> Path:
        return self._log

    def workers(self) -> list[int]:
        """The pids of its children that serve."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [pid for pid in map(int, children) if _serves(pid)]

    def send(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, deadline: float = 20.0) -> float:
        """Send a signal and wait for the end; the seconds that it took."""
        begun = time.monotonic()
        self.send(number)
        self.wait(deadline)
        return time.monotonic() - begun

    def interrupt(self, deadline: float = 20.0) -> float:
        """Ctrl-C, as a terminal sends it to the whole group; the seconds until the end."""
        begun = time.monotonic()
        os.killpg(self.pid, signal.SIGINT)
        self.wait(deadline)
        return time.monotonic() - begun

    def kill(self) -> None:
        """`kill -9` of the whole group."""
        os.killpg(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self, deadline: float = 20.0) -> int:
        """Wait for the end; its exit status."""
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise ServerFailedError(f"still runs after {deadline} s:\n{self.output[-4000:]}") from None

    def _wait_until_ready(self) -> None:
        def ready() -> bool:
            if self.process.poll() is not None:
                raise ServerFailedError(f"ended with {self.process.returncode}:\n{self.output[-4000:]}")
            try:
                return bool(CLIENT.get(self.url + self._ready, timeout=5).status_code)
            except httpx.TransportError:
                return False

        try:
            until(ready, f"{self._command[0]} answers", self._deadline)
        except AssertionError as error:
            raise ServerFailedError(f"{error}:\n{self.output[-4000:]}") from None

    def _end(self) -> None:
        process = self.process
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
        # Whatever is left of the group: it is ours, and nothing else is in it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def _serves(pid: int) -> bool:
    # multiprocessing starts a process beside its children, which serves nothing.
    try:
        return b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
