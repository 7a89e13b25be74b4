"""Writing: one process, beside a row table and observabilipy; several processes at once."""

import asyncio
import itertools
import multiprocessing
import sqlite3
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from obs_core import LogEntry, LogQuery
from obs_storage_sqlite import SQLiteStorage
from shared.data import batched, web_logs
from shared.tools import report


async def write_all(storage: SQLiteStorage, batches: list[list[LogEntry]], at_once: int) -> float:
    begun = time.perf_counter()
    for start in range(0, len(batches), at_once):
        await asyncio.gather(*(storage.logs.write(batch) for batch in batches[start : start + at_once]))
    return sum(map(len, batches)) / (time.perf_counter() - begun)


async def bench_ingest(folder: Path, entries: list[LogEntry]) -> None:
    batches = list(batched(entries[:100_000]))
    async with SQLiteStorage(folder / "ingest.db") as storage:
        alone = [await write_all(storage, batches, 1) for _ in range(3)]
        together = [await write_all(storage, batches, 16) for _ in range(3)]
        stop = threading.Event()
        thread = threading.Thread(target=_spin, args=(stop,))
        thread.start()
        busy = [await write_all(storage, batches, 16) for _ in range(3)]
        stop.set()
        thread.join()
    rows = max(row_table(folder / "rows.db", batches) for _ in range(2))
    peer = f"row table {rows:,.0f}/s"
    report(
        "ingest, 1,000 a batch, FULL", f"{max(alone):,.0f}/s", peer, f"{max(alone) / rows:.1f} x", "500,000/s"
    )
    report(
        "ingest, 16 batches under way",
        f"{max(together):,.0f}/s",
        peer,
        f"{max(together) / rows:.1f} x",
        "500,000/s",
    )
    report("the same with a busy Python thread", f"{max(busy):,.0f}/s", "", "", "300,000/s")
    if sys.version_info >= (3, 13):
        rate = await observabilipy(folder / "observabilipy.db", entries[:300])
        report("", "", f"observabilipy {rate:,.0f}/s", f"{max(alone) / rate:,.0f} x", "1,000 x")


def _spin(stop: threading.Event) -> None:
    number = 0
    while not stop.is_set():
        number = (number * 31 + 7) % 1_000_003


def row_table(path: Path, batches: list[list[LogEntry]]) -> float:
    """A row for each entry, with an index on the time and one on level and time; committed as ours are."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in (
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=FULL",
            "CREATE TABLE logs (id INTEGER PRIMARY KEY, timestamp, level, message, logger, attributes)",
            "CREATE INDEX t ON logs (timestamp)",
            "CREATE INDEX l ON logs (level, timestamp)",
        ):
            connection.execute(statement).fetchall()
        begun = time.perf_counter()
        for batch in batches:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO logs (timestamp, level, message, logger, attributes) VALUES (?, ?, ?, ?, ?)",
                [
                    (e.timestamp, e.level, e.message, e.logger, msgspec.json.encode(e.attributes).decode())
                    for e in batch
                ],
            )
            connection.execute("COMMIT")
        return sum(map(len, batches)) / (time.perf_counter() - begun)


async def observabilipy(path: Path, entries: list[LogEntry]) -> float:
    from observabilipy import LogEntry as Theirs  # noqa: PLC0415  # not for every Python
    from observabilipy import SQLiteLogStorage  # noqa: PLC0415

    storage = SQLiteLogStorage(str(path))
    begun = time.perf_counter()
    for entry in entries:
        await storage.write(
            Theirs(
                timestamp=entry.timestamp,
                level=entry.level,
                message=entry.message,
                attributes=entry.attributes,
            )
        )
    return len(entries) / (time.perf_counter() - begun)


def _process(path: str, seconds: float, seed: int, answers: Any) -> None:
    async def main() -> None:
        batches = list(batched(web_logs(20_000, seed)))
        spent: list[float] = []
        end = time.perf_counter() + seconds
        async with SQLiteStorage(path) as storage:
            for batch in itertools.cycle(batches):
                begun = time.perf_counter()
                if begun > end:
                    break
                await storage.logs.write(batch)
                spent.append(time.perf_counter() - begun)
        answers.put(spent)

    asyncio.run(main())


async def bench_writers(folder: Path, _: list[LogEntry]) -> None:
    """One, then four processes flat out, while the storage merges and a reader sleeps in the middle of a stream."""
    seconds = 8.0
    for count in (1, 4):
        path = folder / f"writers{count}.db"
        async with SQLiteStorage(path) as storage:
            await storage.logs.write(next(batched(web_logs(1000))) * 4)
            reading = storage.logs.read(LogQuery())
            await anext(reading)
            answers: Any = multiprocessing.get_context("spawn").Queue()
            processes = [
                multiprocessing.get_context("spawn").Process(
                    target=_process, args=(str(path), seconds, n, answers)
                )
                for n in range(count)
            ]
            for process in processes:
                process.start()
            wal = 0
            merging = time.perf_counter()
            while time.perf_counter() - merging < seconds + 2:
                await storage.maintain()
                wal = max(wal, (folder / f"writers{count}.db-wal").stat().st_size)
                await asyncio.sleep(0.02)
            spent = sorted(itertools.chain.from_iterable([answers.get(timeout=30) for _ in processes]))
            for process in processes:
                process.join(30)
            failed = [process.exitcode for process in processes if process.exitcode]
            await reading.aclose()
        rate = 1000 * len(spent) / seconds
        p99 = spent[len(spent) * 99 // 100] * 1000
        report(
            f"{count} processes, merging, a sleeping reader",
            f"{rate:,.0f}/s",
            f"p99 {p99:.0f} ms, worst {spent[-1] * 1000:.0f}, WAL {wal / 1e6:.1f} MB",
            "",
            f"p99 100 ms, WAL 8 MB; failed {failed}",
        )
