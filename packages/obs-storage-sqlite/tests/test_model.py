"""The storage against a list in plain Python: the same answers, order and cursors, whatever was sealed meanwhile."""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Coroutine
from math import inf, nan
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from obs_core import LEVELS, LogEntry, LogQuery, MetricQuery, MetricSample, matches_log, matches_metric
from obs_storage_sqlite import SQLiteStorage, _metric_paging, _metric_rows, _paging, _sealing

pytestmark = pytest.mark.integration

WORDS = [
    "",
    "paid",
    "Straße",
    "STRASSE",
    "\u212a",
    "cache hit",
    "0123456789abcdef",
    "a\0b",
    "%_",
    "\U0001f600x",
    "é" * 5,
]
TIMES = [0.0, 1.0, 1.0, 2.5, 1764000000.123456, -5.0, 3.0]
VALUES: list[Any] = [
    7,
    7.0,
    "7",
    True,
    None,
    0.5,
    "a b",
    [1, {"x": "é"}],
    {"deep": []},
    "",
    -0.0,
    2**63,
    nan,
    -inf,
]
LOGGERS = ["", "shop", "shop.orders", "shopping"]
TRACES = ["", "ab" * 16, "cd" * 16, "AB" * 16, "no hex"]

texts = st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join)
entries = st.builds(
    LogEntry,
    st.sampled_from(TIMES),
    st.sampled_from(LEVELS),
    texts,
    st.dictionaries(st.sampled_from(["order", "plan", "", "é"]), st.sampled_from(VALUES), max_size=3),
    st.sampled_from(LOGGERS),
    st.sampled_from(TRACES),
    st.sampled_from(["", "12" * 8]),
)
filters = {
    "since": st.sampled_from(TIMES),
    "until": st.sampled_from(TIMES),
    "level": st.sampled_from([*LEVELS, "warn"]),
    "text": st.sampled_from(["PAID", "strasse", "k", "cache", "89AB", "\0", "%_", "é", "zzzzz", "hit"]),
    "logger": st.sampled_from(["shop", "shop.orders", "x"]),
    "trace_id": st.sampled_from(TRACES[1:]),
    "attributes": st.dictionaries(
        st.sampled_from(["order", "", "é"]), st.sampled_from(["7", "7.0", "true", "null", "a b"]), max_size=2
    ),
}
form = {"order": st.sampled_from(["asc", "desc"]), "limit": st.none() | st.integers(1, 9)}
# Mostly one filter or none: with all at once nearly nothing is found.
queries = st.one_of(
    st.fixed_dictionaries(form),
    *(st.fixed_dictionaries(form, optional={name: values}) for name, values in filters.items()),
    st.fixed_dictionaries(form, optional=filters),
)
samples = st.builds(
    MetricSample,
    st.sampled_from(["a_total", "b", "c"]),
    st.sampled_from([0.0, -0.0, 1.0, 2.0, 1e300, 0.1, 2.0**53, -3.0, inf, -inf, nan]) | st.floats(),
    st.sampled_from([1.0, 2.0, 3.0, 4.0]),
    st.dictionaries(st.sampled_from(["plan", "q"]), st.sampled_from(["pro", "free"]), max_size=2),
)
metric_queries = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["", "a_total", "b", "x"]),
        "labels": st.sampled_from([{}, {"plan": "pro"}, {"plan": "free", "q": "pro"}]),
        "since": st.none() | st.sampled_from([2.0, 3.0]),
        "until": st.none() | st.sampled_from([2.0, 3.5]),
    }
)


# Stores what it is told to, line by line, in the file that is named with it.
OTHER = """
import asyncio, sys
import msgspec
from obs_core import LogEntry, MetricSample
from obs_storage_sqlite import SQLiteStorage

async def main():
    decode = msgspec.msgpack.Decoder(tuple[str, list[LogEntry], list[MetricSample]]).decode
    path, storage = "", None
    for line in sys.stdin:
        asked, entries, samples = decode(bytes.fromhex(line))
        if asked != path:
            if storage is not None:
                await storage.__aexit__(None, None, None)
            path, storage = asked, SQLiteStorage(asked) if asked else None
            if storage is not None:
                await storage.__aenter__()
        if storage is not None:
            await storage.logs.write(entries)
            await storage.metrics.write(samples)
        print("done", flush=True)

asyncio.run(main())
"""


class Other:
    """A second process, which lives as long as the test."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._path = ""

    def store(self, path: str, entries: list[LogEntry], samples: list[MetricSample]) -> None:
        """Return when it is stored."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._path = path
        self._process.stdin.write(msgspec.msgpack.encode((path, entries, samples)).hex() + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def let_go(self) -> None:
        """Close the file."""
        if self._path:
            self.store("", [], [])

    def end(self) -> None:
        self._process.communicate(timeout=30)


class Storage(RuleBasedStateMachine):
    """Small blocks, so that every boundary is met often."""

    other: ClassVar[Other]

    @initialize(
        batches=st.lists(st.lists(entries, min_size=1, max_size=10), min_size=2, max_size=6),
        more=st.lists(st.lists(samples, min_size=1, max_size=8), min_size=2, max_size=6),
    )
    def open(self, batches: list[list[LogEntry]], more: list[list[MetricSample]]) -> None:
        self.patch = pytest.MonkeyPatch()
        for module, name, value in (
            (_sealing, "MAX_ENTRIES", 8),
            (_sealing, "_MAX_FLUSHES", 4),
            (_paging, "_TARGET", 6),
            (_paging, "_MAX_HEADERS", 3),
            (_metric_rows, "_ROWS", 4),
            (_metric_rows, "_FEW", 4),
            (_metric_rows, "_MAX_ROWS", 6),
            (_metric_paging, "_POINTS", 2),
            (_metric_paging, "_WINDOWS", 2),
        ):
            self.patch.setattr(module, name, value)
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.storage = SQLiteStorage(Path(self.folder.name) / "obs.db")
        self.run(self.storage.__aenter__())
        self.model: list[tuple[int, LogEntry]] = []
        self.samples: list[MetricSample] = []
        self.next = 1
        for batch in batches:
            self.write(batch)
            self.run(self.storage.maintain())
        for batch in more:
            self.write_samples(batch)
            self.run(self.storage.maintain())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 60))

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.run(asyncio.to_thread(self.other.let_go))
            self.run(self.storage.__aexit__(None, None, None))
            self.run(self.loop.shutdown_default_executor())
            self.loop.close()
            self.folder.cleanup()
            self.patch.undo()

    @rule(batch=st.lists(entries, max_size=10))
    def write(self, batch: list[LogEntry]) -> None:
        self.run(self.storage.logs.write(batch))
        self.model += list(enumerate(batch, self.next))
        self.next += len(batch)

    @rule(batch=st.lists(samples, max_size=8))
    def write_samples(self, batch: list[MetricSample]) -> None:
        self.run(self.storage.metrics.write(batch))
        self.samples += batch

    @rule()
    def step(self) -> None:
        self.run(self.storage.maintain())

    @rule()
    def maintain(self) -> None:
        while self.run(self.storage.maintain()):
            pass

    @rule()
    def reopen(self) -> None:
        self.run(self.storage.__aexit__(None, None, None))
        self.run(self.storage.__aenter__())

    @rule(
        ours=st.lists(entries, max_size=6),
        theirs=st.lists(entries, max_size=6),
        more=st.lists(samples, max_size=4),
        others=st.lists(samples, max_size=4),
    )
    def write_from_two_processes_at_once_and_seal(
        self,
        ours: list[LogEntry],
        theirs: list[LogEntry],
        more: list[MetricSample],
        others: list[MetricSample],
    ) -> None:
        before = len(self.samples)
        path = str(Path(self.folder.name) / "obs.db")
        self.run(self.all_of(ours, more, asyncio.to_thread(self.other.store, path, theirs, others)))
        found = self.run(self.found(LogQuery(after=self.cursor(self.next - 1))))
        both = [list(enumerate(batch, self.next)) for batch in (ours + theirs, theirs + ours)]
        assert repr(found) in map(repr, both)
        self.model += found
        self.next += len(found)
        stored = self.run(self.read_all(MetricQuery()))[before:]
        assert repr(stored) in [repr(list(map(canonical, batch))) for batch in (more + others, others + more)]
        self.samples += stored

    async def all_of(
        self, batch: list[LogEntry], more: list[MetricSample], theirs: Coroutine[Any, Any, None]
    ) -> None:
        ours = self.storage.logs.write(batch), self.storage.metrics.write(more)
        await asyncio.gather(*ours, theirs, self.storage.maintain())

    @rule(batch=st.lists(entries, max_size=3), time=st.sampled_from([nan, inf, -inf]))
    def a_time_that_is_none_is_refused_with_its_batch(self, batch: list[LogEntry], time: float) -> None:
        with pytest.raises(TypeError, match="finite"):
            self.run(self.storage.logs.write([*batch, LogEntry(time, "INFO", "")]))
        with pytest.raises(TypeError, match="finite"):
            self.run(self.storage.metrics.write([MetricSample("b", 1.0, 1.0), MetricSample("b", 1.0, time)]))

    @rule(batch=st.lists(entries, min_size=1, max_size=10), sealed=st.booleans())
    def late_entries_are_found_by_time_and_by_cursor(self, batch: list[LogEntry], sealed: bool) -> None:
        before = self.next - 1
        self.write([msgspec.structs.replace(entry, timestamp=-1000.0 - n) for n, entry in enumerate(batch)])
        if sealed:
            self.maintain()
        for query in (LogQuery(until=-999.0), LogQuery(since=-1003.0, until=-1000.0, order="desc")):
            self.check(query)
        self.check(LogQuery(after=self.cursor(before)), before)

    @rule(
        batch=st.lists(entries, min_size=1, max_size=7),
        more=st.integers(1, 9),
        order=st.sampled_from(["asc", "desc"]),
    )
    def a_limit_reaches_over_the_end_of_sealed_blocks(
        self, batch: list[LogEntry], more: int, order: Any
    ) -> None:
        self.maintain()
        self.write(batch)
        after = max(self.next - 1 - len(batch) - more, 0) if order == "asc" else None
        cursor = "" if after is None else self.cursor(after)
        for limit in range(len(batch), len(batch) + more + 1):
            self.check(LogQuery(order=order, limit=limit, after=cursor), after)

    @rule(level=st.sampled_from(LEVELS), order=st.sampled_from(["asc", "desc"]), size=st.integers(1, 4))
    def read_pages_of_which_most_was_deleted(self, level: str, order: Any, size: int) -> None:
        for other in LEVELS:
            if other != level:
                self.keep_newest(1, other)
        self.read_in_pages(LogQuery(order=order, limit=size))

    @rule(count=st.integers(0, 20), size=st.none() | st.integers(1, 5))
    def an_old_cursor_reads_on_after_retention(self, count: int, size: int | None) -> None:
        old = self.model[0][0] if self.model else 0
        self.keep_newest(count, None)
        for order in ("asc", "desc"):
            self.check(LogQuery(order=order, limit=size, after=self.cursor(old)), old)

    @rule(timestamp=st.sampled_from(TIMES), level=st.none() | st.sampled_from(LEVELS))
    def delete_before(self, timestamp: float, level: str | None) -> None:
        left = [(n, e) for n, e in self.model if e.timestamp >= timestamp or level not in (None, e.level)]
        assert self.run(self.storage.logs.delete_before(timestamp, level=level)) == len(self.model) - len(
            left
        )
        self.model = left

    @rule(count=st.integers(0, 20), level=st.none() | st.sampled_from(LEVELS))
    def keep_newest(self, count: int, level: str | None) -> None:
        of_level = [n for n, e in self.model if level in (None, e.level)]
        doomed = set(of_level[: max(len(of_level) - count, 0)])
        assert self.run(self.storage.logs.keep_newest(count, level=level)) == len(doomed)
        self.model = [(n, e) for n, e in self.model if n not in doomed]

    @rule(share=st.floats(0, 1), level=st.none() | st.sampled_from(LEVELS))
    def shrink(self, share: float, level: str | None) -> None:
        bound = int(self.run(self.storage.logs.size(level=level)) * share)
        count = self.run(self.storage.logs.shrink(bound, level=level))
        assert self.run(self.storage.logs.size(level=level)) <= bound
        doomed = {n for n, e in self.model if level in (None, e.level)}
        oldest = set(sorted(doomed)[:count])
        self.model = [(n, e) for n, e in self.model if n not in oldest]

    @rule(timestamp=st.sampled_from([1.0, 2.0, 3.5]))
    def delete_samples(self, timestamp: float) -> None:
        left = [one for one in self.samples if one.timestamp >= timestamp]
        assert self.run(self.storage.metrics.delete_before(timestamp)) == len(self.samples) - len(left)
        self.samples = left

    @rule(count=st.integers(0, 20))
    def keep_newest_samples(self, count: int) -> None:
        deleted = self.run(self.storage.metrics.keep_newest(count))
        # Samples of one write and instant stay together.
        assert 0 <= max(len(self.samples) - count, 0) - deleted < 8
        self.samples = self.samples[deleted:]

    @rule(asked=st.lists(st.tuples(queries, st.none() | st.floats(0, 1)), min_size=2, max_size=8))
    def read(self, asked: list[tuple[dict[str, Any], float | None]]) -> None:
        for query, share in asked:
            after = None if share is None else int(share * self.next)
            cursor = "" if after is None else self.cursor(after)
            self.check(LogQuery(**query, after=cursor), after)

    @rule(order=st.sampled_from(["asc", "desc"]), size=st.integers(1, 7), text=st.sampled_from(["", "paid"]))
    def read_in_pages_while_it_is_sealed(self, order: Any, size: int, text: str) -> None:
        self.read_in_pages(LogQuery(order=order, limit=size, text=text), seal=True)

    def read_in_pages(self, query: LogQuery, *, seal: bool = False) -> None:
        seen: list[tuple[int, LogEntry]] = []
        after = ""
        while page := self.run(self.found(msgspec.structs.replace(query, after=after))):
            seen += page
            after = self.cursor(page[-1][0])
            if seal:
                self.run(self.storage.maintain())
        assert repr(seen) == repr(self.expected(msgspec.structs.replace(query, limit=None), None))

    def check(self, query: LogQuery, after: int | None = None) -> None:
        assert repr(self.run(self.found(query))) == repr(self.expected(query, after))

    def cursor(self, number: int) -> str:
        return f"{self.storage.generation}-{number}"

    @rule(query=metric_queries, limit=st.none() | st.integers(1, 5))
    def read_samples(self, query: dict[str, Any], limit: int | None) -> None:
        expected = [one for one in self.samples if matches_metric(MetricQuery(**query), one)][:limit]
        found = self.run(self.read_all(MetricQuery(**query, limit=limit)))
        assert repr(found) == repr([canonical(one) for one in expected])
        series: dict[Any, list[Any]] = {}
        for one in (one for one in self.samples if matches_metric(MetricQuery(**query), one)):
            series.setdefault((one.name, frozenset(one.labels.items())), []).append(
                (one.timestamp, one.value)
            )
        columns = self.run(self.columns(MetricQuery(**query)))
        assert repr({k: columns.get(k) for k in series}) == repr(series)
        assert set(columns) == set(series)

    @invariant()
    def counts_are_right(self) -> None:
        if hasattr(self, "storage"):
            assert self.run(self.storage.logs.count()) == len(self.model)
            errors = sum(entry.level == "ERROR" for _, entry in self.model)
            assert self.run(self.storage.logs.count(level="ERROR")) == errors
            assert self.run(self.storage.metrics.count()) == len(self.samples)

    @invariant()
    def nothing_is_damaged(self) -> None:
        if hasattr(self, "storage"):
            assert (self.storage.logs.damage.count, self.storage.metrics.damage.count) == (0, 0)

    def expected(self, query: LogQuery, after: int | None) -> list[tuple[int, LogEntry]]:
        rows = self.model[::-1] if query.order == "desc" else self.model
        return [
            (number, entry)
            for number, entry in rows
            if matches_log(query, entry)
            and (after is None or (number < after if query.order == "desc" else number > after))
        ][: query.limit]

    async def found(self, query: LogQuery) -> list[tuple[int, LogEntry]]:
        return [
            (int(stored.cursor.rpartition("-")[2]), stored.entry)
            async for stored in self.storage.logs.read(query)
        ]

    async def read_all(self, query: MetricQuery) -> list[MetricSample]:
        return [one async for one in self.storage.metrics.read(query)]

    async def columns(self, query: MetricQuery) -> dict[Any, list[Any]]:
        return {
            (one.name, frozenset(one.labels.items())): list(zip(one.times, one.values, strict=True))
            async for one in self.storage.metrics.read_series(query)
        }


def canonical(sample: MetricSample) -> MetricSample:
    return MetricSample(sample.name, sample.value, sample.timestamp, dict(sorted(sample.labels.items())))


class TestModel(Storage.TestCase):  # type: ignore[misc]  # it is made when it is asked for
    settings = settings(
        max_examples=30,
        stateful_step_count=20,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )

    @classmethod
    def setUpClass(cls) -> None:
        Storage.other = Other()

    @classmethod
    def tearDownClass(cls) -> None:
        Storage.other.end()
