# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
"""What a service of four workers writes to the disk: at 100 entries a second, and idle.

python3 tools/dev.py bench obs-storage-sqlite [--seconds 120] [--idle 60]
"""

import argparse
import asyncio
import logging
import multiprocessing
import random
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

WORKERS = 4


def written() -> int:
    """Bytes that this process had written to the disk."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("write_bytes"):
            return int(line.split()[1])
    return 0


def worker(path: str, rate: float, seconds: float, answers: Any) -> None:
    """Log at a rate, or do nothing; answer bytes written and seconds of CPU, without start and stop."""
    runtime = EmbeddedRuntime(SQLiteStorage(path), flush_interval=1.0)
    chance = random.Random(1)
    with runtime:
        log = logging.getLogger("shop.orders")
        time.sleep(3)
        before, busy, begun = written(), time.process_time(), time.monotonic()
        while (spent := time.monotonic() - begun) < seconds:
            if not rate:
                time.sleep(1)
                continue
            order = chance.randrange(10**6)
            request = f"{chance.getrandbits(64):016x}"
            log.info(
                "order %d stored for user %d",
                order,
                chance.randrange(5000),
                extra={"request_id": request, "order": order},
            )
            time.sleep(max(0.0, 1 / rate))
        answers.put((written() - before, (time.process_time() - busy) / spent))


async def kept(path: Path) -> tuple[int, int]:
    async with SQLiteStorage(path) as storage:
        return await storage.logs.count(), await storage.logs.size()


def run(path: Path, rate: float, seconds: float) -> tuple[int, float]:
    context = multiprocessing.get_context("spawn")
    answers: Any = context.Queue()
    processes = [
        context.Process(target=worker, args=(str(path), rate, seconds, answers)) for _ in range(WORKERS)
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
            f"  {bytes_ / 1e6:.1f} MB written, {bytes_ / size:.1f} times as much (budget 15, over 10 minutes);"
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
