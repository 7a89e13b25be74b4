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
import itertools
import multiprocessing
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from obs_core import LogEntry, LogQuery, MetricQuery, MetricSample, StoredLog, matches_log
from obs_core.encoders import encode_ndjson
from obs_storage_sqlite import SQLiteStorage
from obs_storage_sqlite._database import Database

START = 1_764_000_000.0
ROUTES = ("/", "/cart", "/orders/{}", "/products/{}", "/login", "/search", "/checkout", "/static/app.js")
WORDS = (
    "payment",
    "order",
    "stock",
    "cache",
    "session",
    "customer",
    "invoice",
    "refund",
    "delivery",
    "voucher",
    "basket",
    "profile",
    "token",
)
RARE = "Quetzalcoatl"


def web_logs(count: int, seed: int = 1) -> Iterator[LogEntry]:
    """Requests of a shop at 100 a second, one to four entries each; one rare word in a million entries."""
    chance = random.Random(seed)
    now, made = START, 0
    while made < count:
        now += chance.expovariate(40)
        for entry in _request(chance, now):
            if made == count:
                return
            made += 1
            if made % 1_000_000 == 500_000 or made == count // 2:
                known = random.Random(made).getrandbits(64)
                yield msgspec.structs.replace(entry, message=f"{entry.message} {RARE} {known:016x}")
            else:
                yield entry


def _request(chance: random.Random, now: float) -> Iterator[LogEntry]:
    request, trace = f"{chance.getrandbits(64):016x}", f"{chance.getrandbits(128):032x}"
    span, order, user = (
        f"{chance.getrandbits(64):016x}",
        chance.randrange(100_000, 999_999),
        chance.randrange(5000),
    )
    status = 200 if chance.random() < 0.95 else chance.choice((301, 404, 404, 500, 503))
    spent = round(chance.lognormvariate(2.5, 0.9), 1)
    route = ROUTES[min(int(chance.expovariate(0.6)), len(ROUTES) - 1)].format(order)
    yield LogEntry(
        now,
        "ERROR" if status >= 500 else "INFO",
        f"GET {route} {status} in {spent} ms",
        {"request_id": request, "status": status, "duration_ms": spent, "user": user},
        "shop.access",
        trace,
        span,
    )
    for _ in range(chance.randrange(3)):
        now += chance.expovariate(300)
        word = chance.choice(WORDS)
        yield LogEntry(
            now,
            chance.choice(("DEBUG", "INFO", "INFO", "WARNING")),
            f"{word} {order} {chance.choice(('stored', 'loaded', 'sent', 'checked'))} for user {user}",
            {"request_id": request, "order": order, "amount": round(chance.uniform(1, 300), 2), "plan": word},
            "shop.orders",
            trace,
            span,
        )


def real_logs(folder: Path) -> Iterator[LogEntry]:
    """The lines of every file of a folder."""
    for path in sorted(folder.glob("*.log")):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines()):
            yield LogEntry(
                START + number, "ERROR" if "error" in line.lower() else "INFO", line, {}, path.stem
            )


def report(name: str, ours: str, peer: str = "", ratio: str = "", budget: str = "") -> None:
    print(f"{name:46} {ours:>22} {peer:>34} {ratio:>10}   {budget}", flush=True)


async def timed(work: Callable[[], Awaitable[Any]], rounds: int = 7) -> float:
    """The median of some rounds, in seconds."""
    spent = []
    for _ in range(rounds):
        begun = time.perf_counter()
        await work()
        spent.append(time.perf_counter() - begun)
    return median(spent)


async def collect(storage: SQLiteStorage, query: LogQuery) -> list[StoredLog]:
    return [stored async for stored in storage.logs.read(query)]


def batched(entries: Iterable[LogEntry], size: int = 1000) -> Iterator[list[LogEntry]]:
    source = iter(entries)
    while batch := list(itertools.islice(source, size)):
        yield batch


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


async def seal_all(storage: SQLiteStorage) -> tuple[int, float, float]:
    """Steps, seconds, and the longest step."""
    steps, worst, begun = 0, 0.0, time.perf_counter()
    while True:
        step = time.perf_counter()
        if not await storage.maintain():
            break
        steps += 1
        worst = max(worst, time.perf_counter() - step)
    return steps, time.perf_counter() - begun, worst


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
                    f"{steps} in {seconds:.1f} s",
                )
            await bench_size(storage, folder, lines, place)
            await bench_queries(storage, folder)
            await bench_scan(storage)
            await bench_retention(storage, folder, place)


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


async def bench_retention(storage: SQLiteStorage, folder: Path, count: int) -> None:
    newest = (await collect(storage, LogQuery(order="desc", limit=1)))[0].entry.timestamp
    await storage.run(Database.checkpoint)
    before = (folder / "logs.db").stat().st_size
    pauses: list[float] = []
    done = asyncio.Event()

    async def write() -> None:
        async with SQLiteStorage(folder / "logs.db") as other:
            while not done.is_set():
                begun = time.perf_counter()
                await other.logs.write([LogEntry(newest, "INFO", "meanwhile")])
                pauses.append(time.perf_counter() - begun)
                await asyncio.sleep(0.01)

    writing = asyncio.create_task(write())
    await asyncio.sleep(0.3)
    begun = time.perf_counter()
    deleted = await storage.logs.delete_before(START + (newest - START) / 2)
    spent = time.perf_counter() - begun
    done.set()
    await writing
    await storage.run(Database.checkpoint)
    after = (folder / "logs.db").stat().st_size
    report(
        f"retention of {deleted:,} of {count:,}",
        f"{spent:.2f} s",
        f"file {100 * (1 - after / before):.0f} % smaller, longest write {max(pauses) * 1000:.0f} ms",
        "",
        "1 s, 45 %, 50 ms",
    )


async def bench_metrics(folder: Path, _: list[LogEntry]) -> None:
    """1,000 series, each 15 s, a day: buckets, counters, sums and gauges of a service with some traffic."""
    chance = random.Random(1)
    kinds = ["bucket"] * 700 + ["counter"] * 200 + ["sum"] * 50 + ["gauge"] * 50
    rates = [chance.paretovariate(1.0) * 0.5 for _ in kinds]
    labels = [{"route": ROUTES[n % len(ROUTES)], "le": str(n)} for n in range(len(kinds))]
    values = array("d", bytes(8 * len(kinds)))
    async with SQLiteStorage(folder / "metrics.db") as storage:
        for step in range(5760):
            for place, kind in enumerate(kinds):
                count = max(0, int(chance.gauss(rates[place], rates[place] ** 0.5) + 0.5))
                if kind == "gauge":
                    values[place] = float(chance.randrange(20))
                else:
                    values[place] += (
                        count if kind != "sum" else sum(chance.random() for _ in range(min(count, 5)))
                    )
            now = START + 15 * step + chance.random() / 1000
            samples = [
                MetricSample(kind, value, now, label)
                for kind, value, label in zip(kinds, values, labels, strict=True)
            ]
            await storage.metrics.write(samples)
            if step % 240 == 239:
                await seal_all(storage)
        count = await storage.metrics.count()
        size = await storage.metrics.size() / count
        report(
            f"a sample ({count:,} of 1,000 series)",
            f"{size:.2f} bytes",
            "row table 154 bytes",
            f"{size / 154:.3f}",
            "1.8",
        )
        one = MetricQuery(name="bucket", labels=labels[5])
        spent = await timed(lambda: read_series(storage, one))
        report("one series, a day", f"{spent * 1000:.1f} ms", "", "", "5 ms")
        hour = MetricQuery(since=START + 43_200, until=START + 46_800)
        spent = await timed(lambda: read_series(storage, hour))
        report("1,000 series, an hour", f"{spent * 1000:.1f} ms", "", "", "20 ms")


async def read_series(storage: SQLiteStorage, query: MetricQuery) -> list[Any]:
    return [one async for one in storage.metrics.read_series(query)]


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


async def main(options: argparse.Namespace) -> None:
    folder = Path(tempfile.mkdtemp(prefix="obs-bench-", dir=options.data))
    wanted = options.only or ["ingest", "writers", "metrics", "logs"]
    print(f"SQLite {sqlite3.sqlite_version}, Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    report("what", "ours", "peer", "ratio", "budget")
    try:
        entries = list(web_logs(min(options.entries, 100_000)))
        for name, work in (("ingest", bench_ingest), ("writers", bench_writers), ("metrics", bench_metrics)):
            if name in wanted:
                await work(folder, entries)
        if "logs" in wanted:
            await bench_logs(folder, entries, options.entries)
        if options.logs:
            await bench_real(folder, options.logs)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--logs", type=Path)
    parser.add_argument("--data", type=Path, help="a folder on the disk to measure")
    parser.add_argument("--only", nargs="*", choices=["ingest", "writers", "metrics", "logs", "real"])
    asyncio.run(main(parser.parse_known_args()[0]))
