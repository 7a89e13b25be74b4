"""Forks of a process whose queue and connections are in use: `python -m faults.forks FOLDER COUNT`.

One thread logs, one reads the history, one collects metrics, and the main thread forks.
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from obs_core import LogQuery
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

from .figures import Figures, holds, percentile

# A child that is not done by then hangs.
_DEADLINE = 60
_EACH = 5


def forks(folder: Path, count: int) -> Figures:
    """So many forks; every fifth child logs, counts and ends in another way. Nothing is lost, doubled or stuck."""
    command = [sys.executable, "-m", "faults.forks", str(folder), str(count)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
        timeout=120 + count,
        check=False,
    )
    holds(done.returncode == 0, f"ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    logged, total, half, most, longest = done.stdout.split()
    children = [f"child {number}" for number in range(0, count, _EACH)]
    messages = asyncio.run(_stored(folder / "obs.db"))
    expected = [f"parent {number}" for number in range(int(logged))] + children
    holds(len(messages) == len(set(messages)), "an entry is there twice")
    holds(set(messages) == set(expected), f"lost: {sorted(set(expected) - set(messages))[:5]}")
    holds(float(total) == len(children), f"{total} counted, not {len(children)}")
    return {
        "forks, none stuck": str(count),
        "entries, none lost or twice": str(len(messages)),
        "a fork took (half, 99 of 100, longest)": f"{half} {most} {longest} ms",
    }


async def _stored(path: Path) -> list[str]:
    async with SQLiteStorage(path) as storage:
        holds(not await storage.verify(), "the file is damaged")
        return [one.entry.message async for one in storage.logs.read(LogQuery(logger="forks"))]


class Parent:
    """The process that forks."""

    def __init__(self, folder: Path) -> None:
        self.runtime = EmbeddedRuntime(SQLiteStorage(folder / "obs.db"))
        self.orders = self.runtime.registry.counter("orders", "Orders.")
        self.log = logging.getLogger("forks")
        self.logged = 0
        self.done = threading.Event()
        self.times: list[float] = []

    def run(self, count: int) -> None:
        with self.runtime:
            self.runtime.flush()
            threads = [threading.Thread(target=work) for work in (self._emit, self._read, self._collect)]
            for thread in threads:
                thread.start()
            try:
                for number in range(count):
                    self._fork(number)
            finally:
                self.done.set()
                for thread in threads:
                    thread.join()
            self.runtime.flush()
            print(self.logged, self._total(), *self._figures(), flush=True)

    def _figures(self) -> list[str]:
        return [f"{1000 * percentile(self.times, share):.0f}" for share in (0.5, 0.99, 1.0)]

    def _fork(self, number: int) -> None:
        begun = time.monotonic()
        pid = os.fork()
        if pid == 0:
            self._child(number)
        self.times.append(time.monotonic() - begun)
        status = os.waitpid(pid, 0)[1]
        if status:
            raise RuntimeError(f"child {number} ended with {status}")

    def _child(self, number: int) -> None:
        signal.alarm(_DEADLINE)
        if number % _EACH:
            os._exit(0)
        self.log.info("child %d", number)
        self.orders.inc()
        self.runtime.collect()
        if number % 2:
            self.runtime.flush(_DEADLINE)
            os._exit(0)
        self.done.set()
        sys.exit(0)  # written by the hooks

    def _emit(self) -> None:
        while not self.done.is_set():
            self.log.info("parent %d", self.logged)
            self.logged += 1
            time.sleep(0.001)

    def _read(self) -> None:
        async def newest() -> None:
            async for _ in self.runtime.storage.logs.read(LogQuery(order="desc", limit=50)):
                pass

        while not self.done.is_set():
            try:
                asyncio.run(newest())
            except Exception:  # closed for a fork: as a reader that is told to try again
                time.sleep(0.01)

    def _collect(self) -> None:
        while not self.done.is_set():
            self.runtime.collect()
            time.sleep(0.01)

    def _total(self) -> float:
        return sum(sum(one.values) for one in self.runtime.collect() if one.metadata.name == "orders")


if __name__ == "__main__":
    Parent(Path(sys.argv[1])).run(int(sys.argv[2]))
