"""Forks of a process whose queue and connections are in use: `python -m faults.forks FOLDER COUNT`.

One thread logs, one reads the history, one collects metrics, and the main thread forks: half the times from an event
loop of its own, as a request's handler does, in the middle of a read. The last child writes on after the process
itself has ended, which must not take away the journal that it writes to.
"""

import asyncio
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from obs_core import LogQuery
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

from .figures import Figures, holds, percentile

# A child that is not done by then hangs.
_DEADLINE = 60
_EACH = 5
# Children that go on when their parent has ended (more of them would keep the journal for each other), and what each
# of them writes, so many seconds apart.
_LATE = 1
_LINES = 15
_APART = 0.1
_READS = 4


def forks(folder: Path, count: int) -> Figures:
    """So many forks; every fifth child logs, counts and ends in another way. Nothing is lost, doubled or stuck.

    The last one goes on when its parent has ended.
    """
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
    late = _acknowledged(folder / "acknowledged")
    messages = asyncio.run(_stored(folder / "obs.db"))
    expected = [f"parent {number}" for number in range(int(logged))] + children + late
    holds(len(messages) == len(set(messages)), "an entry is there twice")
    holds(set(messages) == set(expected), f"lost: {sorted(set(expected) - set(messages))[:5]}")
    holds(float(total) == len(children), f"{total} counted, not {len(children)}")
    return {
        "forks, none stuck": str(count),
        "entries, none lost or twice": str(len(messages)),
        "a fork took (half, 99 of 100, longest)": f"{half} {most} {longest} ms",
    }


def _acknowledged(path: Path) -> list[str]:
    """What the children that went on were told is stored; all of it, once they have ended."""
    deadline = time.monotonic() + _DEADLINE
    while True:
        lines = path.read_text().splitlines() if path.exists() else []
        if lines.count("end") == _LATE:
            return [line for line in lines if line != "end"]
        holds(time.monotonic() < deadline, f"{_LATE - lines.count('end')} children did not end")
        time.sleep(0.05)


async def _stored(path: Path) -> list[str]:
    async with SQLiteStorage(path) as storage:
        holds(not await storage.verify(), "the file is damaged")
        return [one.entry.message async for one in storage.logs.read(LogQuery(logger="forks"))]


class Parent:
    """The process that forks."""

    def __init__(self, folder: Path) -> None:
        self.acknowledged = folder / "acknowledged"
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
                    if number % 2:  # of these no child ends by `sys.exit`: the loop is its parent's
                        asyncio.run(self._fork_beside_a_read(partial(self._fork, number)))
                    else:
                        self._fork(number)
                self.runtime.flush()
                for number in range(_LATE):
                    asyncio.run(self._fork_beside_a_read(partial(self._leave, number)))
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

    async def _fork_beside_a_read(self, fork: Callable[[], None]) -> None:
        """In the loop's thread, with reads on their way."""
        reading = [asyncio.create_task(self._newest()) for _ in range(_READS)]
        for _ in range(random.randrange(12)):  # anywhere in a read
            await asyncio.sleep(0.0005)
        fork()
        # A series of forks keeps the storage closed for longer than a reader waits.
        await asyncio.gather(*reading, return_exceptions=True)

    def _leave(self, number: int) -> None:
        """A child that nobody waits for."""
        if os.fork():
            return
        signal.alarm(_DEADLINE)
        with self.acknowledged.open("a", buffering=1) as file:
            for line in range(_LINES):
                self.log.info("late %d %d", number, line)
                self.runtime.flush(_DEADLINE)
                file.write(f"late {number} {line}\n")
                time.sleep(_APART)
            file.write("end\n")
        os._exit(0)

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
        while not self.done.is_set():
            try:
                asyncio.run(self._newest())
            except Exception:  # closed for many forks: as a reader that is told to try again
                time.sleep(0.01)

    async def _newest(self) -> None:
        async for _ in self.runtime.storage.logs.read(LogQuery(order="desc", limit=50)):
            pass

    def _collect(self) -> None:
        while not self.done.is_set():
            self.runtime.collect()
            time.sleep(0.01)

    def _total(self) -> float:
        return sum(sum(one.values) for one in self.runtime.collect() if one.metadata.name == "orders")


if __name__ == "__main__":
    Parent(Path(sys.argv[1])).run(int(sys.argv[2]))
