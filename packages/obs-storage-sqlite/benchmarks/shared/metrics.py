"""Samples: bytes for each, and series for charts."""

import random
from array import array
from pathlib import Path
from typing import Any

from obs_core import LogEntry, MetricQuery, MetricSample
from obs_storage_sqlite import SQLiteStorage
from shared.data import ROUTES, START
from shared.tools import report, seal_all, timed


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
