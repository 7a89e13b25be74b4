"""The ring beside a plain list: same answers, in the same order, whatever was written, deleted and forgotten."""

import asyncio

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obs_core import LogEntry, LogQuery, matches_log
from obs_storage_ring import RingStorage

pytestmark = pytest.mark.unit
BOUND = 100_000
LEVELS = ["DEBUG", "INFO", "ERROR"]
entries = st.builds(
    LogEntry,
    st.integers(0, 50).map(float),
    st.sampled_from(LEVELS),
    st.sampled_from(["a", "b", "x" * 2000]),
)
levels = st.none() | st.sampled_from(LEVELS)
steps = st.one_of(
    st.tuples(st.just("write"), st.lists(entries, max_size=40)),
    st.tuples(st.just("burst"), st.integers(1, 400)),
    st.tuples(st.just("delete_before"), st.integers(0, 50).map(float), levels),
    st.tuples(st.just("keep_newest"), st.integers(0, 60), levels),
    st.tuples(st.just("shrink"), st.integers(0, BOUND), levels),
)
queries = st.builds(
    LogQuery,
    since=st.none() | st.integers(0, 50).map(float),
    until=st.none() | st.integers(0, 50).map(float),
    level=levels,
    text=st.sampled_from(["", "A", "x"]),
    order=st.sampled_from(["asc", "desc"]),
    limit=st.none() | st.integers(1, 30),
)


class Model:
    """What must be stored: numbered entries, the oldest gone where they are over the bound."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, LogEntry]] = []
        self.next = 1
        self.forgotten = 0

    def write(self, batch) -> None:
        for entry in batch:
            self.rows.append((self.next, entry))
            self.next += 1
        while self.size(None) > BOUND:
            del self.rows[0]
            self.forgotten += 1

    def size(self, level) -> int:
        return sum(map(size_of, self.of(level)))

    def of(self, level):
        return [entry for _, entry in self.rows if level in (None, entry.level)]

    def delete(self, doomed) -> int:
        before = len(self.rows)
        self.rows = [row for row in self.rows if not doomed(row[1])]
        return before - len(self.rows)

    def delete_before(self, timestamp, level) -> int:
        return self.delete(lambda entry: entry.timestamp < timestamp and level in (None, entry.level))

    def keep_newest(self, count, level) -> int:
        return self.drop_first(level, lambda: len(self.of(level)) > count)

    def shrink(self, max_bytes, level) -> int:
        return self.drop_first(level, lambda: self.size(level) > max_bytes)

    def drop_first(self, level, more) -> int:
        dropped = 0
        while more():
            place = next(n for n, (_, entry) in enumerate(self.rows) if level in (None, entry.level))
            del self.rows[place]
            dropped += 1
        return dropped

    def read(self, query, place=None):
        rows = self.rows if query.order == "asc" else self.rows[::-1]
        if place is not None:
            rows = [row for row in rows if (row[0] > place if query.order == "asc" else row[0] < place)]
        return [row for row in rows if matches_log(query, row[1])][: query.limit]


def size_of(entry) -> int:
    return len(msgspec.msgpack.encode(entry)) + 80


async def read(storage, query):
    return [(int(one.cursor.partition("-")[2]), one.entry) async for one in storage.logs.read(query)]


async def run(script, asked):
    model = Model()
    async with RingStorage(BOUND) as storage:
        for name, *arguments in script:
            if name in ("write", "burst"):
                batch = (
                    arguments[0]
                    if name == "write"
                    else [LogEntry(float(n % 50), LEVELS[n % 3], "a") for n in range(arguments[0])]
                )
                await storage.logs.write(batch)
                model.write(batch)
            else:
                value, level = arguments
                gone = await getattr(storage.logs, name)(value, level=level)
                assert gone == getattr(model, name)(value, level)
        assert await read(storage, LogQuery()) == model.rows
        assert storage.forgotten["logs"] == model.forgotten
        for level in (None, *LEVELS):
            assert await storage.logs.count(level=level) == len(model.of(level))
            assert await storage.logs.size(level=level) == model.size(level)
        for query in asked:
            page = await read(storage, query)
            assert page == model.read(query)
            if page:
                cursor = f"{storage._held.generation}-{page[-1][0]}"
                assert await read(storage, msgspec.structs.replace(query, after=cursor)) == model.read(
                    query, page[-1][0]
                )


@settings(deadline=None, max_examples=60)
@given(st.lists(steps, max_size=12), st.lists(queries, min_size=1, max_size=5))
def test_the_ring_answers_as_a_plain_list_would(script, asked):
    asyncio.run(run(script, asked))
