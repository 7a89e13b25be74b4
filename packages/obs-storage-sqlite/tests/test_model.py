"""The storage against a list in plain Python: the same answers, order and cursors, whatever was sealed meanwhile."""

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

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
VALUES: list[Any] = [7, 7.0, "7", True, None, 0.5, "a b", [1, {"x": "é"}], {"deep": []}, "", -0.0, 2**63]
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
    st.sampled_from([0.0, -0.0, 1.0, 2.0, 1e300, 0.1, 2.0**53, -3.0, float("inf")])
    | st.floats(allow_nan=False),
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


class Storage(RuleBasedStateMachine):
    """Small blocks, so that every boundary is met often."""

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
            cursor = "" if after is None else f"{self.storage.generation}-{after}"
            wanted = LogQuery(**query, after=cursor)
            assert repr(self.run(self.found(wanted))) == repr(self.expected(wanted, after))

    @rule(order=st.sampled_from(["asc", "desc"]), size=st.integers(1, 7), text=st.sampled_from(["", "paid"]))
    def read_in_pages_while_it_is_sealed(self, order: Any, size: int, text: str) -> None:
        seen: list[tuple[int, LogEntry]] = []
        after = ""
        while page := self.run(self.found(LogQuery(order=order, limit=size, text=text, after=after))):
            seen += page
            after = f"{self.storage.generation}-{page[-1][0]}"
            self.run(self.storage.maintain())
        assert seen == self.expected(LogQuery(order=order, text=text), None)

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


TestModel = Storage.TestCase
TestModel.settings = settings(
    max_examples=50,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
