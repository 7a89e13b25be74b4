"""Eight processes that write at once, beside a reader that streams: `python -m faults.writers FOLDER SECONDS`.

Each writes ten batches of a hundred entries a second, as eight busy workers of a service would.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from obs_core import LogEntry, LogQuery
from obs_storage_sqlite import SQLiteStorage

from .children import start
from .figures import Figures, holds, percentile

PROCESSES, BATCH, INTERVAL = 8, 100, 0.1
WAL, P99 = 8_000_000, 0.1


def writers(folder: Path, seconds: float, *, quick: bool = True) -> Figures:
    """What a flush took and how large the journal was; `quick` has the bound on time hold too."""
    path = folder / "obs.db"
    process = start("writers", folder, seconds)
    read, largest = asyncio.run(_stream(path, process, seconds + 120))
    _, error = process.communicate(timeout=20)
    holds(process.returncode == 0 and not error, f"a writer failed: {error[-2000:]}")
    took: list[float] = [
        one for number in range(PROCESSES) for one in json.loads(_told(folder, number).read_text())
    ]
    stored = asyncio.run(_count(path))
    written = len(took) * BATCH
    holds(stored == written, f"{written} entries were acknowledged, {stored} are stored")
    holds(largest < WAL, f"the journal had {largest} bytes")
    slow = percentile(took, 0.99)
    holds(not quick or slow < P99, f"the p99 of a flush is {slow * 1000:.0f} ms")
    return {
        "flushes by 8 processes": f"{len(took)}",
        "p50, p99, longest": " / ".join(
            f"{1000 * percentile(took, share):.0f} ms" for share in (0.5, 0.99, 1.0)
        ),
        "largest journal": f"{largest / 1e6:.1f} MB",
        "entries that the reader had meanwhile": str(read),
        "entries stored, all that were acknowledged": str(stored),
    }


async def _stream(path: Path, process: "subprocess.Popen[str]", deadline: float) -> tuple[int, int]:
    """Follow it from the beginning, one entry after the other; how many came, and the largest journal meanwhile."""
    journal = path.with_name(f"{path.name}-wal")
    place, largest, read = "", 0, 0
    end = time.monotonic() + deadline
    async with SQLiteStorage(path) as storage:
        while process.poll() is None:
            holds(time.monotonic() < end, f"the writers did not end in {deadline:g} s")
            async for stored in storage.logs.read(LogQuery(after=place, limit=2000)):
                place, read = stored.cursor, read + 1
            await storage.maintain()
            largest = max(largest, journal.stat().st_size)
            await asyncio.sleep(0.05)
    return read, largest


async def _count(path: Path) -> int:
    async with SQLiteStorage(path) as storage:
        problems = await storage.verify()
        holds(not problems, f"verify: {problems[:3]}")
        return await storage.logs.count()


async def _write(path: Path, seconds: float, number: int) -> list[float]:
    took = []
    async with SQLiteStorage(path) as storage:
        await asyncio.sleep(number * INTERVAL / PROCESSES)
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            entries = [LogEntry(time.time(), "INFO", f"{number} paid order {n} {now}") for n in range(BATCH)]
            begun = time.perf_counter()
            await storage.logs.write(entries)
            took.append(time.perf_counter() - begun)
            await asyncio.sleep(max(0.0, INTERVAL - (time.monotonic() - now)))
    return took


def _told(folder: Path, number: int) -> Path:
    """Where a writer tells what each of its flushes took: a pipe would hold it up once it is full."""
    return folder / f"{number}.json"


def _all(folder: Path, seconds: float) -> None:
    """The writers as forked children."""
    pids = []
    for number in range(PROCESSES):
        pid = os.fork()
        if pid == 0:
            took = asyncio.run(_write(folder / "obs.db", seconds, number))
            _told(folder, number).write_text(json.dumps(took))
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        holds(os.waitpid(pid, 0)[1] == 0, "a writer failed")


if __name__ == "__main__":
    _all(Path(sys.argv[1]), float(sys.argv[2]))
