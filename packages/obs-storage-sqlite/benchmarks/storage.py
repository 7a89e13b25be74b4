# /// script
# requires-python = ">=3.11"
# dependencies = ["observabilipy>=1.0; python_version >= '3.13'"]
# ///
"""The figures of the SQLite storage, side by side with its peers, on data made from a seed.

python3 tools/dev.py bench obs-storage-sqlite [--entries 1000000] [--logs FOLDER] [--only NAME ...]

Peers: a plain row table with two indexes, `zstd -3` of the same lines, `zstdcat | grep`, and observabilipy where the
Python is 3.13 or newer, as it asks for.
"""

import argparse
import asyncio
import os
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

from shared.data import batched, web_logs
from shared.ingest import bench_ingest, bench_writers
from shared.metrics import bench_metrics
from shared.reading import bench_queries, bench_scan, bench_size
from shared.real import bench_real
from shared.streams import bench_stream
from shared.tools import report, seal_all
from shared.upkeep import bench_retention, longest_lock

from obs_core import LogEntry, StoredLog
from obs_core.encoders import encode_ndjson
from obs_storage_sqlite import SQLiteStorage


async def bench_logs(folder: Path, entries: list[LogEntry], count: int) -> None:
    lines = folder / "logs.ndjson"
    source = iter(entries) if len(entries) >= count else web_logs(count)
    with lines.open("wb") as file:
        async with SQLiteStorage(folder / "logs.db") as storage:
            place = 0
            for batch in batched(source):
                await storage.logs.write(batch)
                stored = [StoredLog(f"0123456789abcdef-{place + n}", entry) for n, entry in enumerate(batch)]
                async for chunk in encode_ndjson(stored):
                    file.write(chunk)
                place += len(batch)
                if place % 50_000 == 0:
                    await seal_all(storage)
            steps, seconds, worst = await seal_all(storage)
            if steps > 1:
                report(
                    "merging: the longest of the last steps",
                    f"{worst * 1000:.0f} ms",
                    f"{steps} in {seconds:.1f} s, {await longest_lock(storage)}",
                )
            await bench_size(storage, folder, lines, place)
            await bench_queries(storage, folder)
            await bench_scan(storage)
            await bench_retention(storage, folder, place)


async def main(options: argparse.Namespace) -> None:
    folder = Path(tempfile.mkdtemp(prefix="obs-bench-", dir=options.data))
    wanted = options.only or ["ingest", "writers", "metrics", "logs", "stream"]
    print(f"SQLite {sqlite3.sqlite_version}, Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    report("what", "ours", "peer", "ratio", "budget")
    try:
        entries = list(web_logs(min(options.entries, 100_000)))
        for name, work in (("ingest", bench_ingest), ("writers", bench_writers), ("metrics", bench_metrics)):
            if name in wanted:
                await work(folder, entries)
        if "logs" in wanted:
            await bench_logs(folder, entries, options.entries)
        if "stream" in wanted:
            await bench_stream(folder, entries, options.entries)
        if options.logs:
            await bench_real(folder, options.logs)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--logs", type=Path)
    parser.add_argument("--data", type=Path, help="a folder on the disk to measure")
    parser.add_argument(
        "--only", nargs="*", choices=["ingest", "writers", "metrics", "logs", "stream", "real"]
    )
    asyncio.run(main(parser.parse_known_args()[0]))
