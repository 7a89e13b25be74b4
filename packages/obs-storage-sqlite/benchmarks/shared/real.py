"""Real log files: the same answers as a plain scan, and their size on disk."""

import itertools
import random
import sys
from pathlib import Path

import msgspec

from obs_core import LogEntry, LogQuery, StoredLog, matches_log
from obs_core.encoders import encode_ndjson
from obs_storage_sqlite import SQLiteStorage
from shared.data import batched, real_logs
from shared.reading import bench_size
from shared.tools import collect, report, seal_all


async def compare(storage: SQLiteStorage, entries: list[LogEntry]) -> int:
    """Every level and fifty words of each file, whole and in pages of 7, against a plain scan; how many were asked."""
    chance, asked = random.Random(1), 0
    for logger in sorted({entry.logger for entry in entries}):
        lines = [entry.message for entry in entries if entry.logger == logger]
        words = [word for line in chance.sample(lines, 50) for word in [chance.choice(line.split())[:20]]]
        for text, level in itertools.product([*words, ""], ("INFO", "ERROR")):
            query = LogQuery(logger=logger, text=text, level=level)
            expected = [entry for entry in entries if matches_log(query, entry)]
            found = [stored.entry for stored in await collect(storage, query)]
            paged: list[LogEntry] = []
            after = ""
            while len(paged) < 70:
                page = await collect(storage, msgspec.structs.replace(query, after=after, limit=7))
                if not page:
                    break
                paged += [stored.entry for stored in page]
                after = page[-1].cursor
            if (
                found != expected
                or paged != expected[: len(paged)]
                or (len(paged) < 70 and paged != expected)
            ):
                sys.exit(f"{query} answers otherwise than a plain scan")
            asked += 1
    return asked


async def bench_real(folder: Path, logs: Path) -> None:
    entries = list(real_logs(logs))
    lines = folder / "real.ndjson"
    with lines.open("wb") as file:
        stored = [StoredLog(f"0123456789abcdef-{n}", entry) for n, entry in enumerate(entries)]
        async for chunk in encode_ndjson(stored):
            file.write(chunk)
    async with SQLiteStorage(folder / "real.db") as storage:
        for batch in batched(entries):
            await storage.logs.write(batch)
        await seal_all(storage)
        print(f"real logs: {len(entries):,} lines of {logs}")
        asked = await compare(storage, entries)
        report("queries that answer as a plain scan", f"{asked:,} of {asked:,}")
        await bench_size(storage, folder, lines, len(entries))
