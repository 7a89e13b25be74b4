# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
"""What a service of four workers writes to the disk: at 100 entries a second, and idle.

What is kept is what the log entries take in the file at the end, sealed or not, their index with them. Beside the ratio
stands its floor: a commit is durable by one page of the write-ahead log at least, and the kernel writes pages of 4 kB,
of which a frame of any size touches one or two; so a commit of a worker each second cannot be had for less.

python3 tools/dev.py bench obs-storage-sqlite [--seconds 120] [--idle 60]
"""

import argparse
import asyncio
import logging
import multiprocessing
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from shared.data import web_logs

from obs_core import LogEntry, bind
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

WORKERS = 4
# What the kernel writes for the smallest commit there is: a frame that begins within one page of its own.
FLOOR = 4096


def written() -> int:
    """Bytes that this process had written to the disk."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("write_bytes"):
            return int(line.split()[1])
    return 0


def worker(path: str, number: int, rate: float, seconds: float, answers: Any) -> None:
    """Log at a rate, or do nothing; answer bytes written and seconds of CPU, without start and stop."""
    entries = web_logs(int(rate * seconds * 1.1) + 1, seed=number)
    logging.lastResort = None
    with EmbeddedRuntime(SQLiteStorage(path), flush_interval=1.0, log_level="DEBUG"):
        time.sleep(3)
        before, busy, begun = written(), time.process_time(), time.monotonic()
        logged = 0
        while (spent := time.monotonic() - begun) < seconds:
            for entry in entries if rate else ():
                log(entry)
                logged += 1
                if logged >= rate * (time.monotonic() - begun):
                    break
            time.sleep(1 / rate if rate else 1.0)
        answers.put((written() - before, (time.process_time() - busy) / spent))


def log(entry: LogEntry) -> None:
    """The way of an application: the standard library's logging, with ids that a middleware has bound."""
    with bind(trace_id=entry.trace_id, span_id=entry.span_id):
        level = logging.getLevelNamesMapping()[entry.level]
        logging.getLogger(entry.logger).log(level, "%s", entry.message, extra=entry.attributes)


async def kept(path: Path) -> tuple[int, int]:
    async with SQLiteStorage(path) as storage:
        return await storage.logs.count(), await storage.logs.size()


def run(path: Path, rate: float, seconds: float) -> tuple[int, float]:
    context = multiprocessing.get_context("spawn")
    answers: Any = context.Queue()
    processes = [
        context.Process(target=worker, args=(str(path), number, rate, seconds, answers))
        for number in range(WORKERS)
    ]
    for process in processes:
        process.start()
    found = [answers.get(timeout=seconds + 60) for _ in processes]
    for process in processes:
        process.join(30)
    return sum(one[0] for one in found), sum(one[1] for one in found)


def main(options: argparse.Namespace) -> None:
    folder = Path(tempfile.mkdtemp(prefix="obs-bench-", dir=options.data))
    try:
        path = folder / "obs.db"
        bytes_, cpu = run(path, 100 / WORKERS, options.seconds)
        count, size = asyncio.run(kept(path))
        print(f"100 entries/s, {options.seconds:.0f} s: {count:,} entries, {size / 1e6:.2f} MB kept;")
        print(
            f"  {bytes_ / 1e6:.1f} MB written, {bytes_ / size:.1f} times as much (budget 15, over 10 minutes;"
            f" floor {WORKERS * options.seconds * FLOOR / size:.1f});"
        )
        print(f"  CPU {100 * cpu:.1f} % of a core")
        bytes_, cpu = run(path, 0.0, options.idle)
        print(
            f"idle: {bytes_ / 1e3 * 60 / options.idle:.0f} kB written in a minute (budget 300);"
            f" CPU {100 * cpu:.2f} % of a core for {WORKERS} workers (budget 0.5)"
        )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--idle", type=float, default=60.0)
    parser.add_argument("--data", type=Path, help="a folder on the disk to measure")
    main(parser.parse_known_args()[0])
