"""A storage that is written, merged and held to a bound without pause, and what must be in it at any time after.

Which batch was acknowledged last, and what is being done, stands in a file beside it, whatever ends the process.
"""

import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from obs_core import LogEntry, LogQuery, MetricQuery, MetricSample, StorageError
from obs_storage_sqlite import SQLiteStorage, _metric_rows, _sealing

from .figures import holds

ENTRIES, SERIES = 20, 3
KEPT = 150
STEPS = ("open", "write logs", "write samples", "merge", "delete", "close")


def with_small_blocks() -> None:
    """Merge after some batches already, so that little work goes through everything."""
    for module, name, size in (
        (_sealing, "MAX_ENTRIES", 100),
        (_metric_rows, "_ROWS", 20),
        (_metric_rows, "_FEW", 20),
    ):
        holds(hasattr(module, name), f"{module.__name__}.{name} is gone")
        setattr(module, name, size)


class Ack:
    """The file beside the storage."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "last.ack", os.O_RDWR | os.O_CREAT, 0o600)

    def batch(self, number: int) -> None:
        """All up to this one are acknowledged."""
        os.pwrite(self._file, b"%020d" % number, 0)

    @contextmanager
    def doing(self, step: str) -> Iterator[None]:
        os.pwrite(self._file, step.encode().ljust(20), 20)
        yield
        os.pwrite(self._file, b"nothing".ljust(20), 20)

    def read(self) -> tuple[int, str]:
        """The last batch, and what was being done."""
        found = os.pread(self._file, 40, 0)
        return int(found[:20] or 0), found[20:].decode().strip() or "nothing"

    def close(self) -> None:
        os.close(self._file)


def entries_of(batch: int) -> list[LogEntry]:
    return [LogEntry(float(batch), "INFO", f"{batch} {number}") for number in range(ENTRIES)]


def samples_of(batch: int) -> list[MetricSample]:
    return [MetricSample("a", float(batch), float(batch), {"n": str(number)}) for number in range(SERIES)]


async def work(folder: Path, first: int, last: int, attempts: int = 1, unsafe: bool = False) -> None:
    """Batches from `first` to `last`, each acknowledged when it is stored; one that failed is tried again."""
    ack = Ack(folder)
    storage = SQLiteStorage(folder / "obs.db")
    with ack.doing("open"):
        await _again(storage.__aenter__, attempts)
    if unsafe:
        await storage.run(lambda database: database.select("PRAGMA synchronous=NORMAL"))
    for batch in range(first, last + 1):
        entries, samples = entries_of(batch), samples_of(batch)
        with ack.doing("write logs"):
            await _again(partial(storage.logs.write, entries), attempts)
        with ack.doing("write samples"):
            await _again(partial(storage.metrics.write, samples), attempts)
        ack.batch(batch)
        with ack.doing("merge"):
            await _again(storage.maintain, attempts)
        if batch % 5 == 0:
            with ack.doing("delete"):
                await _again(partial(storage.logs.delete_before, float(batch - KEPT)), attempts)
                await _again(partial(storage.metrics.delete_before, float(batch - KEPT)), attempts)
    with ack.doing("close"):
        await storage.__aexit__(None, None, None)
    ack.close()


async def _again(step: Callable[[], Awaitable[object]], attempts: int) -> None:
    """As the runtime does: the same batch again, which is not stored twice."""
    for attempt in range(attempts):
        try:
            await step()
            return
        except StorageError:
            if attempt == attempts - 1:
                raise


async def check(folder: Path, acknowledged: int, first: int = 1, starts: Sequence[int] = ()) -> int:
    """Nothing acknowledged is missing, nothing is there twice, no batch is half there, and the file is whole.

    `first` is the one with which the last run began, `starts` are those of all runs: a run goes on behind the last
    batch of logs, whose samples may have been under way. The last batch of logs that is there.
    """
    path = folder / "obs.db"
    connection = sqlite3.connect(path)
    (found,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    holds(found == "ok", f"integrity_check: {found}")
    async with SQLiteStorage(path) as storage:
        problems = await storage.verify()
        holds(not problems, f"verify: {problems[:3]}")
        logs = [tuple(map(int, one.entry.message.split())) async for one in storage.logs.read(LogQuery())]
        times = [one.value async for one in storage.metrics.read(MetricQuery(labels={"n": "1"}))]
        samples = [one async for one in storage.metrics.read(MetricQuery())]
    batches = sorted({batch for batch, _ in logs})
    holds(logs == [(batch, n) for batch in batches for n in range(ENTRIES)], "a batch is not whole, or twice")
    holds(len(samples) == SERIES * len(times), "an instant is not whole")
    _are_all_there("logs", batches, acknowledged, first, set())
    _are_all_there("samples", [int(time) for time in times], acknowledged, first, set(starts))
    return batches[-1] if batches else 0


def _are_all_there(what: str, stored: list[int], acknowledged: int, first: int, starts: set[int]) -> None:
    last = stored[-1] if stored else 0
    under_way = max(acknowledged + 1, first)
    holds(acknowledged <= last <= under_way, f"{what}: {acknowledged} were acknowledged, the last is {last}")
    # Retention has taken what is older.
    whole = set(range(max(1, acknowledged - KEPT + 10), last + 1))
    missing = sorted(whole.difference(stored, (start - 1 for start in starts)))
    holds(not missing, f"{what}: {missing[:3]} are not there")
    holds(sorted(set(stored)) == stored, f"{what}: out of order, or twice")
