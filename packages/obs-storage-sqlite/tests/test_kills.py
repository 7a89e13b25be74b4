import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from obs_core import LogQuery, MetricQuery
from obs_storage_sqlite import SQLiteStorage

pytestmark = pytest.mark.integration

# Writes, merges and deletes without pause, with small blocks; tells by a file which batch was acknowledged last.
WORK = """
import asyncio, os, sys
from obs_core import LogEntry, MetricSample
from obs_storage_sqlite import SQLiteStorage, _metric_rows, _sealing

_sealing.MAX_ENTRIES = 100
_metric_rows._ROWS = _metric_rows._FEW = 20

async def main(path, first):
    ack = os.open(f"{path}.ack", os.O_WRONLY | os.O_CREAT)
    async with SQLiteStorage(path) as storage:
        for batch in range(first, first + 1_000_000):
            await storage.logs.write([LogEntry(float(batch), "INFO", f"{batch} {n}") for n in range(20)])
            samples = [MetricSample("a", float(batch), float(batch), {"n": str(n)}) for n in range(3)]
            await storage.metrics.write(samples)
            os.pwrite(ack, str(batch).encode(), 0)
            await storage.maintain()
            if batch % 5 == 0:
                await storage.logs.delete_before(float(batch - 150))
                await storage.metrics.delete_before(float(batch - 150))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def test_kill_9_in_the_middle_of_writing_merging_and_deleting_loses_nothing(tmp_path):
    path = tmp_path / "obs.db"
    chance = random.Random(7)
    first = 1
    restarts: set[int] = set()
    for _ in range(12):
        acknowledged = run_and_kill(path, first, 0.2 + chance.random() / 2)
        asyncio.run(check(path, acknowledged, restarts))
        first = acknowledged + 2
        restarts.add(first)


def run_and_kill(path: Path, first: int, seconds: float) -> int:
    process = subprocess.Popen([sys.executable, "-c", WORK, str(path), str(first)])
    ack = Path(f"{path}.ack")
    deadline = time.monotonic() + 30
    while not (ack.exists() and ack.stat().st_size and int(ack.read_text()) >= first):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=20)
    return int(ack.read_text())


async def check(path: Path, acknowledged: int, restarts: set[int]) -> None:
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    async with SQLiteStorage(path) as storage:
        assert await storage.verify() == []
        found = [tuple(map(int, one.entry.message.split())) async for one in storage.logs.read(LogQuery())]
        batches = sorted({batch for batch, _ in found})
        # Nothing twice, every batch whole, in order, and all that retention had not taken.
        assert len(found) == len(set(found)) == 20 * len(batches)
        assert found == sorted(found)
        assert batches[-1] in (acknowledged, acknowledged + 1)
        kept = [batch for batch in batches if batch > acknowledged - 140]
        # What was under way when it was killed may be missing, and nothing else.
        assert all(after - before <= (2 if after in restarts else 1) for before, after in pairwise(kept))
        samples = [one.value async for one in storage.metrics.read(MetricQuery(labels={"n": "1"}))]
        assert samples == sorted(set(samples))
        assert samples[-1] in (acknowledged, acknowledged + 1)
