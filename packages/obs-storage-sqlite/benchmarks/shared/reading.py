"""Size on disk beside `zstd -3`, and queries beside `zstdcat | grep`."""

import os
import subprocess
import time
from pathlib import Path

from obs_core import LogQuery
from obs_storage_sqlite import SQLiteStorage
from obs_storage_sqlite._database import Database
from shared.data import RARE
from shared.tools import collect, report, timed


async def bench_size(storage: SQLiteStorage, folder: Path, lines: Path, count: int) -> None:
    packed = folder / "logs.zst"
    subprocess.run(["zstd", "-q", "-f", "-3", str(lines), "-o", str(packed)], check=True)
    filters = (await storage.fetch("SELECT coalesce(sum(length(data)), 0) FROM parts WHERE id % 8 > 3", ()))[
        0
    ][0]
    await storage.run(Database.checkpoint)
    ours = (await storage.logs.size() - filters) / count
    peer = packed.stat().st_size / count
    report(
        f"bytes an entry of {lines.stat().st_size / count:.0f} bytes of NDJSON",
        f"{ours:.1f}",
        f"zstd -3 {peer:.1f}",
        f"{ours / peer:.2f}",
        "60, and 1.25 of zstd -3",
    )
    report("and for the index", f"{filters / count:.1f}", "", "", "10")
    whole = Path(storage.path or "").stat().st_size / count
    report("the whole file, an entry", f"{whole:.1f}", "", "", "70")


async def bench_queries(storage: SQLiteStorage, folder: Path) -> None:
    middle = [one.entry for one in await collect(storage, LogQuery(text=RARE, limit=1))]
    newest = (await collect(storage, LogQuery(order="desc", limit=1)))[0].entry
    rare = middle[0] if middle else newest
    hour = {"since": newest.timestamp - 7200, "until": newest.timestamp - 3600}
    known = str(rare.attributes.get("request_id", ""))
    queries: list[tuple[str, LogQuery, str]] = [
        ("latest 100", LogQuery(order="desc", limit=100), "5 ms"),
        ("an hour and ERROR, latest 100", LogQuery(**hour, level="ERROR", order="desc", limit=100), "5 ms"),
        ("a rare word", LogQuery(text=RARE, limit=100), "10 ms (50 in 10 M)"),
        ("a 16-digit id", LogQuery(text=rare.message[-16:], limit=100), "10 ms (50 in 10 M)"),
        ("a common word, newest 100", LogQuery(text="payment", order="desc", limit=100), "10 ms"),
        ("one attribute, rare", LogQuery(attributes={"request_id": known}, limit=100), "50 ms"),
        ("one trace id", LogQuery(trace_id=rare.trace_id, limit=100), ""),
    ]
    for name, query, budget in queries:
        found = len(await collect(storage, query))
        spent = await timed(lambda query=query: collect(storage, query))  # type: ignore[misc]
        report(f"{name} ({found} found)", f"{spent * 1000:.1f} ms", "", "", budget)
    storage.logs.use_filters = False
    spent = await timed(lambda: collect(storage, LogQuery(text=RARE)), 3)
    storage.logs.use_filters = True
    grep = min(_grep(folder / "logs.zst") for _ in range(3))
    report(
        "a rare word without the index",
        f"{spent * 1000:.0f} ms",
        f"zstdcat | grep {grep * 1000:.0f} ms",
        f"{spent / grep:.2f}",
        "under 1",
    )


def _grep(packed: Path) -> float:
    begun = time.perf_counter()
    subprocess.run(
        f"zstdcat '{packed}' | grep -i -c {RARE}", shell=True, stdout=subprocess.DEVNULL, check=False
    )
    return time.perf_counter() - begun


def resident() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


async def bench_scan(storage: SQLiteStorage) -> None:
    before = highest = resident()
    begun, seen = time.perf_counter(), 0
    async for _ in storage.logs.read(LogQuery()):
        seen += 1
        if seen % 20_000 == 0:
            highest = max(highest, resident())
    rate = seen / (time.perf_counter() - begun)
    report(
        f"a full scan of {seen:,}",
        f"{rate:,.0f}/s",
        f"{(highest - before) / 1e6:.0f} MB over the start",
        "",
        "100 MB",
    )
