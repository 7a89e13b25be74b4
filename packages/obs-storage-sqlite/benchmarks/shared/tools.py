"""What the benchmarks share: a line of the table, times, reading to the end, merging all there is."""

import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from obs_core import LogQuery, StoredLog
from obs_storage_sqlite import SQLiteStorage


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
