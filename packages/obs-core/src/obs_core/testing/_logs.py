"""What every storage of logs must do. A subclass gives a fixture `storage`: an open, empty storage."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from obs_core import CursorExpiredError, LogEntry, LogQuery, QueryError, Storage, StorageClosedError

from ._wrong import NO_ENTRIES, Change, shown


def entry(
    message: str = "paid", timestamp: float = 1000.0, level: str = "INFO", **fields: object
) -> LogEntry:
    return LogEntry(timestamp, level, message, **fields)  # type: ignore[arg-type]


async def messages(storage: Storage, **query: object) -> list[str]:
    return [stored.entry.message async for stored in storage.logs.read(LogQuery(**query))]  # type: ignore[arg-type]


async def cursors(storage: Storage, **query: object) -> list[str]:
    return [stored.cursor async for stored in storage.logs.read(LogQuery(**query))]  # type: ignore[arg-type]


@pytest.mark.asyncio
class LogStorageConformance:
    """For `storage.logs`, a `LogStoragePort`."""

    async def test_what_is_written_is_read_back_whole(self, storage: Storage) -> None:
        attributes = {"order": 7, "nested": {"list": [1, 2.5, None, True, "é"]}, "": ""}
        written = entry("paid\0\n\u2028é", 1764000000.123456, "ERROR", attributes=attributes, logger="shop")
        await storage.logs.write([written, entry(trace_id="a" * 32, span_id="b" * 16)])
        read = [stored.entry async for stored in storage.logs.read(LogQuery())]
        assert read == [written, entry(trace_id="a" * 32, span_id="b" * 16)]

    async def test_order_is_the_order_of_storing_whatever_the_timestamps(self, storage: Storage) -> None:
        await storage.logs.write([entry("a", 5.0), entry("b", 3.0)])
        await storage.logs.write([entry("c", 4.0)])
        assert await messages(storage) == ["a", "b", "c"]
        assert await messages(storage, order="desc") == ["c", "b", "a"]

    async def test_equal_timestamps_are_all_kept(self, storage: Storage) -> None:
        await storage.logs.write([entry(str(number), 7.0) for number in range(50)])
        assert await messages(storage) == [str(number) for number in range(50)]

    async def test_an_empty_batch_is_no_error(self, storage: Storage) -> None:
        await storage.logs.write([])
        assert await storage.logs.count() == 0

    async def test_a_batch_is_written_all_or_none(self, storage: Storage) -> None:
        with pytest.raises(TypeError, match="LogEntry"):
            await storage.logs.write([entry(), "no entry", entry()])  # type: ignore[list-item]
        assert await messages(storage) == []

    @pytest.mark.parametrize("change", NO_ENTRIES, ids=shown)
    async def test_a_field_of_another_type_is_refused_with_its_batch(
        self, storage: Storage, change: Change
    ) -> None:
        wrong = LogEntry(**{"timestamp": 1.0, "level": "INFO", "message": "x", **change})  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="nothing of the batch was"):
            await storage.logs.write([entry(), wrong])
        assert await storage.logs.count() == 0

    async def test_a_whole_number_is_a_time(self, storage: Storage) -> None:
        await storage.logs.write([LogEntry(7, "INFO", "x")])
        assert [stored.entry.timestamp async for stored in storage.logs.read(LogQuery(since=7.0))] == [7.0]

    async def test_since_is_inclusive_and_until_exclusive(self, storage: Storage) -> None:
        await storage.logs.write([entry(str(time), float(time)) for time in range(1, 6)])
        assert await messages(storage, since=2.0, until=4.0) == ["2", "3"]

    async def test_an_entry_that_came_late_is_found_by_its_time(self, storage: Storage) -> None:
        await storage.logs.write([entry("new", 100.0)])
        await storage.logs.write([entry("late", 10.0)])
        assert await messages(storage, until=50.0) == ["late"]

    async def test_a_level_means_this_severity_or_worse(self, storage: Storage) -> None:
        levels = ["TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
        await storage.logs.write([entry(level, level=level) for level in levels])
        assert await messages(storage, level="WARNING") == ["WARNING", "ERROR", "CRITICAL"]
        assert await messages(storage, level="debug") == levels[1:]
        assert await messages(storage, level="FATAL") == ["CRITICAL"]

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("TIMEOUT", True),
            ("ime", True),
            ("STRASSE", True),
            ("\0tail", True),
            ("%", False),
            ("Time_ut", False),
        ],
    )
    async def test_text_is_a_substring_in_any_case(self, storage: Storage, text: str, found: bool) -> None:
        await storage.logs.write([entry("A timeout in der Straße\0TAIL"), entry("other")])
        assert bool(await messages(storage, text=text)) is found

    async def test_a_logger_is_found_with_those_below_it(self, storage: Storage) -> None:
        names = ["shop", "shop.orders", "shopping", ""]
        await storage.logs.write([entry(name, logger=name) for name in names])
        assert await messages(storage, logger="shop") == ["shop", "shop.orders"]

    async def test_a_trace_id_is_found_exactly(self, storage: Storage) -> None:
        await storage.logs.write([entry("a", trace_id="a" * 32), entry("b", trace_id="b" * 32), entry("c")])
        assert await messages(storage, trace_id="a" * 32) == ["a"]

    @pytest.mark.parametrize(
        ("name", "value"),
        [("order", "7"), ("ok", "true"), ("none", "null"), ("text", "a b"), ("rate", "0.5")],
    )
    async def test_attributes_are_compared_as_text(self, storage: Storage, name: str, value: str) -> None:
        attributes = {"order": 7, "ok": True, "none": None, "text": "a b", "rate": 0.5}
        await storage.logs.write([entry("found", attributes=attributes), entry("other")])
        assert await messages(storage, attributes={name: value}) == ["found"]
        assert await messages(storage, attributes={name: value + "x"}) == []

    async def test_filters_hold_together_and_the_limit_counts_what_matches(self, storage: Storage) -> None:
        await storage.logs.write([entry(f"{n} {'odd' if n % 2 else 'even'}", float(n)) for n in range(100)])
        assert await messages(storage, text="odd", since=10.0, limit=2) == ["11 odd", "13 odd"]
        assert await messages(storage, text="odd", order="desc", limit=2) == ["99 odd", "97 odd"]

    async def test_cursors_only_grow_and_are_never_used_again(self, storage: Storage) -> None:
        await storage.logs.write([entry("a")])
        (first,) = await cursors(storage)
        await storage.logs.keep_newest(0)
        await storage.logs.write([entry("b")])
        assert await cursors(storage) != [first]
        assert await messages(storage, after=first) == ["b"]

    async def test_a_reader_resumes_after_any_entry_with_nothing_lost_or_repeated(
        self, storage: Storage
    ) -> None:
        for start in range(0, 60, 3):
            await storage.logs.write([entry(str(start + n), 1000.0 - start) for n in range(3)])
        for order, expected in (("asc", list(range(60))), ("desc", list(range(59, -1, -1)))):
            seen, after = [], ""
            while page := [s async for s in storage.logs.read(LogQuery(order=order, after=after, limit=7))]:  # type: ignore[arg-type]
                seen += [int(stored.entry.message) for stored in page]
                after = page[-1].cursor
            assert seen == expected

    async def test_many_pages_are_read_while_others_write(self, storage: Storage) -> None:
        await storage.logs.write([entry(str(number)) for number in range(3000)])
        seen: list[str] = []
        async for stored in storage.logs.read(LogQuery(limit=3000)):
            seen.append(stored.entry.message)
            if len(seen) % 500 == 0:
                await storage.logs.write([entry("new")])
        assert seen == [str(number) for number in range(3000)]

    async def test_a_reading_that_is_left_holds_nothing(self, storage: Storage) -> None:
        await storage.logs.write([entry(str(number)) for number in range(3000)])
        reading = storage.logs.read(LogQuery())
        async for _ in reading:
            break
        if hasattr(reading, "aclose"):
            await reading.aclose()
        await storage.logs.write([entry("after")])
        assert await storage.logs.count() == 3001

    @pytest.mark.parametrize(
        "cursor", ["x", "1", "-", "a-b", "é-1", "0-" + "9" * 30, f"0-{2**63}", "a-1-2", "a--1"]
    )
    async def test_what_is_no_cursor_is_refused_by_name(self, storage: Storage, cursor: str) -> None:
        with pytest.raises(QueryError) as caught:
            await messages(storage, after=cursor)
        assert caught.value.parameter == "after"

    async def test_a_cursor_of_another_storage_is_expired(self, storage: Storage) -> None:
        await storage.logs.write([entry()])
        ((cursor),) = await cursors(storage)
        number = cursor.rpartition("-")[2]
        with pytest.raises(CursorExpiredError):
            await messages(storage, after=f"0123456789abcdef-{number}")

    async def test_delete_before_is_exclusive_and_tells_how_many(self, storage: Storage) -> None:
        await storage.logs.write([entry(str(time), float(time)) for time in (3, 1, 2, 4)])
        assert await storage.logs.delete_before(3.0) == 2
        assert await messages(storage) == ["3", "4"]
        assert await storage.logs.delete_before(3.0) == 0

    async def test_deletions_may_be_for_one_level_alone(self, storage: Storage) -> None:
        await storage.logs.write(
            [entry(f"{level}{n}", float(n), level) for n in range(4) for level in ("DEBUG", "ERROR")]
        )
        assert await storage.logs.delete_before(1.0, level="DEBUG") == 1
        assert await storage.logs.keep_newest(1, level="DEBUG") == 2
        assert await messages(storage) == ["ERROR0", "ERROR1", "ERROR2", "DEBUG3", "ERROR3"]
        assert (await storage.logs.count(level="ERROR"), await storage.logs.count()) == (4, 5)
        assert await storage.logs.shrink(0, level="ERROR") == 4
        assert await messages(storage) == ["DEBUG3"]

    async def test_keep_newest_goes_by_the_order_of_storing(self, storage: Storage) -> None:
        await storage.logs.write([entry("a", 9.0), entry("b", 1.0), entry("c", 5.0)])
        assert await storage.logs.keep_newest(2) == 1
        assert await messages(storage) == ["b", "c"]
        assert await storage.logs.keep_newest(5) == 0

    async def test_shrink_deletes_the_oldest_until_the_bound_holds(self, storage: Storage) -> None:
        for batch in range(20):
            await storage.logs.write([entry(f"{batch * 100 + n} {'x' * 1000}") for n in range(100)])
        bound = await storage.logs.size() // 2
        deleted = await storage.logs.shrink(bound)
        assert await storage.logs.size() <= bound
        left = await messages(storage)
        assert [message.split()[0] for message in left] == [str(number) for number in range(deleted, 2000)]
        assert len(left) > 500

    async def test_a_closed_storage_says_so(self, storage: Storage) -> None:
        await storage.__aexit__(None, None, None)
        with pytest.raises(StorageClosedError, match="not open"):
            await storage.logs.write([entry()])
        with pytest.raises(StorageClosedError, match="not open"):
            await messages(storage)
        await storage.__aenter__()

    async def test_two_loops_in_two_threads_use_it_at_once(self, storage: Storage) -> None:
        failures: list[BaseException] = []

        async def write_and_read(name: str) -> None:
            for number in range(20):
                await storage.logs.write([entry(f"{name}{number}")])
                await anext(_reading(storage))

        def other() -> None:
            try:
                asyncio.run(write_and_read("b"))
            except BaseException as error:  # shown by the assertion below
                failures.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        await write_and_read("a")
        await asyncio.to_thread(thread.join)
        assert not failures
        assert sorted(await messages(storage)) == sorted(f"{name}{n}" for name in "ab" for n in range(20))


async def _reading(storage: Storage) -> AsyncIterator[str]:
    for message in await messages(storage, limit=1):
        yield message
