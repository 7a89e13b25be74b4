"""What is not as it should be costs itself alone: it is refused at the door, or left out, counted and said."""

import os
import sqlite3
import threading
import zlib
from array import array
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from obs_core import LogEntry, LogQuery, MetricMetadata, MetricSample, StorageError
from obs_storage_sqlite import SQLiteStorage, _metric_rows, _sealing, _verify
from obs_storage_sqlite._columns import pack_numbers
from obs_storage_sqlite._flushes import pieces
from obs_storage_sqlite._points import SeriesCache, pack_series
from obs_storage_sqlite._sealed import build
from obs_storage_sqlite._windows import Row, WindowView, encode_window
from obs_storage_sqlite._writers import Batches
from obs_storage_sqlite._zstd import MAX_SIZE, compress, decompress, zstd

pytestmark = pytest.mark.integration


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(_sealing, "MAX_ENTRIES", 20)
    for name in ("_ROWS", "_FEW"):
        monkeypatch.setattr(_metric_rows, name, 10)


def change(path: Path, *statements: str, values: tuple[object, ...] = ()) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            assert connection.execute(statement, values).rowcount


async def messages(storage: SQLiteStorage) -> list[str]:
    return [stored.entry.message async for stored in storage.logs.read(LogQuery())]


async def settle(storage: SQLiteStorage) -> None:
    for _ in range(100):
        if not await storage.maintain():
            return
    raise AssertionError("maintenance finds no end")


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "bad",
    [
        "no entry",
        LogEntry(2.0, "LOUD", "x"),
        LogEntry(2.0, ["INFO"], "x"),
        LogEntry("2.0", "INFO", "x"),
        LogEntry(None, "INFO", "x"),
        LogEntry(float("nan"), "INFO", "x"),
        LogEntry(float("inf"), "INFO", "x"),
        LogEntry(10**400, "INFO", "x"),
        LogEntry(2.0, "INFO", b"x"),
        LogEntry(2.0, "INFO", "\ud800"),
        LogEntry(2.0, "INFO", "x", None),
        LogEntry(2.0, "INFO", "x", {1: 2}),
        LogEntry(2.0, "INFO", "x", {"d": {None: 1}}),
        LogEntry(2.0, "INFO", "x", {"d": object()}),
        LogEntry(2.0, "INFO", "x", {"d": 1 << 70}),
        LogEntry(2.0, "INFO", "x", {"d": nested(5000)}),
        LogEntry(2.0, "INFO", "x", {}, None),
        LogEntry(2.0, "INFO", "x", {}, "shop", None),
        LogEntry(2.0, "INFO", "x", {}, "shop", "", 7),
    ],
)
@pytest.mark.asyncio
async def test_an_entry_that_could_not_be_read_again_is_refused_with_its_batch(tmp_path, bad):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        with pytest.raises(TypeError, match="nothing of the batch was"):
            await storage.logs.write([LogEntry(1.0, "INFO", "good"), bad])
        await storage.logs.write([LogEntry(1.0, "INFO", "after")])
        assert await messages(storage) == ["after"]
        assert storage.logs.damage.count == 0


@pytest.mark.parametrize(
    "bad",
    [
        MetricSample(None, 1.0, 1.0),
        MetricSample("a", "1", 1.0),
        MetricSample("a", 1.0, None),
        MetricSample("a", 1.0, float("nan")),
        MetricSample("a", 1.0, 1.0, {"plan": 1}),
        MetricSample("a", 1.0, 1.0, None),
    ],
)
@pytest.mark.asyncio
async def test_a_sample_that_could_not_be_read_again_is_refused_with_its_batch(tmp_path, bad):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        with pytest.raises(TypeError, match="nothing of the batch was"):
            await storage.metrics.write([MetricSample("b", 1.0, 1.0), bad])
        assert await storage.metrics.count() == 0


@pytest.mark.parametrize("bad", [MetricMetadata("a", "kind"), MetricMetadata("a", "gauge", None)])
@pytest.mark.asyncio
async def test_metadata_that_could_not_be_read_again_is_refused(tmp_path, bad):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        with pytest.raises(TypeError, match="nothing of the batch was"):
            await storage.metrics.write([MetricSample("a", 1.0, 1.0)], [bad])
        assert await storage.metrics.count() == 0


def test_a_second_frame_behind_the_first_is_refused():
    with pytest.raises(StorageError, match="one whole frame"):
        decompress(compress(b"x") + zstd.compress(bytes(300_000_000)))


def test_what_could_not_be_opened_again_is_not_compressed():
    assert decompress(compress(b"")) == b""
    with pytest.raises(StorageError, match="too many"):
        compress(bytes(MAX_SIZE + 1))


@pytest.mark.asyncio
async def test_a_large_entry_of_control_characters_is_read_after_it_was_sealed(tmp_path):
    large = LogEntry(1.0, "INFO", "big", {"one": "\x1b" * 6_000_000, "two": "\x1b" * 6_000_000})
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        await storage.logs.write([large])
        await storage.logs.write([LogEntry(1.0, "INFO", "small")])
        await settle(storage)
        assert await storage.fetch("SELECT count(*) FROM blocks", ()) == [(1,)]
        (found,) = [one.entry async for one in storage.logs.read(LogQuery(text="big"))]
        assert found == large
        assert await storage.verify() == []


def test_a_block_that_does_not_give_back_what_it_was_made_of_is_refused():
    with pytest.raises(StorageError, match="give back"):
        build([1, 3, 3], [LogEntry(1.0, "INFO", "a")] * 3)


@pytest.mark.asyncio
async def test_a_flush_that_cannot_be_sealed_makes_way_and_is_still_read(tmp_path, small, capfd):
    """An older build took such an entry."""
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path) as storage:
        for batch in range(12):
            await storage.logs.write([LogEntry(float(batch), "INFO", f"{batch}") for n in range(5)])
        poison = [LogEntry(1.0, "INFO", f"poison {n}", {"d": {None: 1}}) for n in range(5)]
        data = compress(msgspec.msgpack.encode(poison))
        change(path, "UPDATE head SET data = ?, checksum = ? WHERE id = 6", values=(data, zlib.crc32(data)))
        await settle(storage)
        assert "the block of cursor 6" in capfd.readouterr().err
        found = await messages(storage)
        assert found == [*["0"] * 5, *(f"poison {n}" for n in range(5)), *sorted(found[10:], key=int)]
        assert len(found) == 60
        assert storage.logs.damage.count == 1
        assert [one.where for one in await storage.verify()] == []
        assert await storage.logs.delete_before(1.5) == 10


@pytest.mark.asyncio
async def test_a_damaged_block_stops_neither_the_others_nor_samples(tmp_path, small):
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path) as storage:
        for batch in range(16):
            await storage.logs.write(
                [LogEntry(float(batch), "DEBUG" if n else "INFO", f"{batch} {n}") for n in range(5)]
            )
        await settle(storage)
        change(path, "UPDATE parts SET data = zeroblob(9) WHERE id = 9")
        assert await storage.logs.delete_before(100.0, level="DEBUG") > 0
        for time in range(40):
            await storage.metrics.write([MetricSample("a", float(time), float(time))])
        await settle(storage)
        assert await storage.fetch("SELECT id FROM blocks WHERE gone IS NOT NULL", ()) == [(1,)]
        assert await storage.fetch("SELECT count(*) FROM windows", ()) == [(4,)]
        assert storage.logs.damage.count == 1


@pytest.mark.asyncio
async def test_damaged_instants_that_sealing_leaves_out_are_counted(tmp_path, small, capfd):
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path) as storage:
        for time in range(10):
            await storage.metrics.write([MetricSample("a", float(time), float(time))])
        change(path, "UPDATE points SET data = zeroblob(7) WHERE id = 3")
        await settle(storage)
        assert await storage.metrics.count() == 9
        assert storage.metrics.damage.count == 1
    assert "the instant 3" in capfd.readouterr().err


def test_a_batch_whose_levels_are_of_another_type_is_refused_before_anything_is_made():
    with pytest.raises(TypeError, match="LOUD"):
        pieces([LogEntry(0.0, "LOUD", "x")])


@pytest.mark.asyncio
async def test_retention_goes_on_past_damaged_blocks(tmp_path, small):
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path) as storage:
        for batch in range(16):
            await storage.logs.write([LogEntry(float(batch * 5 + n), "INFO", f"{n}") for n in range(5)])
        await settle(storage)
        change(path, "UPDATE parts SET data = zeroblob(9) WHERE id = 8 * 21")
        # Ten of the damaged block would go, but nobody can tell which.
        assert await storage.logs.keep_newest(50) == 20
        change(path, "UPDATE blocks SET rows = rows + 1 WHERE id = 41")
        # All of the damaged block, and what is older of the one whose header is: its content says when that was.
        assert await storage.logs.delete_before(50.0) == 30
        assert await storage.logs.keep_newest(0) == 30
        assert await storage.logs.count() == 0


@pytest.mark.asyncio
async def test_retention_of_samples_goes_on_past_damaged_windows(tmp_path, small):
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path) as storage:
        for time in range(30):
            await storage.metrics.write([MetricSample("a", float(time), float(time))])
        await settle(storage)
        change(path, "UPDATE windows SET data = zeroblob(9) WHERE id = 11")
        assert await storage.metrics.keep_newest(15) == 10
        assert await storage.metrics.delete_before(15.0) == 0
        assert await storage.metrics.delete_before(25.0) == 15
        assert await storage.metrics.keep_newest(0) == 5


@pytest.mark.parametrize("odd", [float("inf"), float("nan")])
@pytest.mark.asyncio
async def test_times_that_are_none_do_not_stop_retention(tmp_path, odd):
    """An older build took such an entry."""
    path = tmp_path / "obs.db"
    entries = [LogEntry(odd, "INFO", "odd"), *(LogEntry(float(n), "INFO", f"{n}") for n in range(1, 4))]
    data = compress(msgspec.msgpack.encode(entries))
    async with SQLiteStorage(path) as storage:
        await storage.logs.write([LogEntry(1.0, "INFO", "")] * 4)
        change(
            path,
            "UPDATE head SET data = ?, checksum = ?, newest = 9e999",
            values=(data, zlib.crc32(data)),
        )
        assert await storage.logs.delete_before(2.0) == 1
        assert await messages(storage) == ["odd", "2", "3"]
        assert await storage.logs.keep_newest(1) == 2
        assert await storage.logs.keep_newest(0, level="INFO") == 1
        await storage.logs.write([LogEntry(1.0, "INFO", "")] * 4)
        change(
            path,
            "UPDATE head SET data = ?, checksum = ?, newest = 9e999",
            values=(data, zlib.crc32(data)),
        )
        assert await storage.logs.shrink(1) == 4


@pytest.mark.asyncio
async def test_what_a_level_takes_is_counted_in_bytes_and_given_back(tmp_path, small):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        for batch in range(20):
            await storage.logs.write(
                [LogEntry(float(batch), "DEBUG", os.urandom(3000).hex())] * 2
                + [LogEntry(float(batch), "ERROR", os.urandom(10).hex()) for _ in range(3)]
            )
        await settle(storage)
        whole = await storage.logs.size()
        assert await storage.logs.size(level="ERROR") < whole / 10
        assert await storage.logs.size(level="DEBUG") > whole * 8 / 10
        assert await storage.logs.delete_before(100.0, level="DEBUG") == 40
        assert await storage.logs.size(level="DEBUG") == 0
        # Nothing of ERROR is lost, since what was DEBUG's is given back first.
        assert await storage.logs.shrink(whole // 2) == 0
        assert await storage.logs.size() <= whole // 2
        assert await storage.logs.count(level="ERROR") == 60
        assert await storage.verify() == []


@pytest.mark.parametrize("table", ["blocks", "head"])
@pytest.mark.asyncio
async def test_a_header_that_is_not_as_it_was_written_deletes_nothing_that_is_young(tmp_path, small, table):
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path) as storage:
        for batch in range(5):
            await storage.logs.write([LogEntry(float(batch * 5 + n), "INFO", f"{n}") for n in range(5)])
        if table == "blocks":
            await settle(storage)
        change(path, f"UPDATE {table} SET newest = 0 WHERE id = 1")
        assert any("checksum" in problem.what for problem in await storage.verify())
        assert await storage.logs.delete_before(1.0) == 1
        assert len(await messages(storage)) == 24
        # Whoever looked inside wrote down what was found there.
        assert await storage.verify() == []
        assert await storage.logs.delete_before(0.5) == 0


def test_a_count_that_no_column_has_is_refused_before_memory_is_taken():
    rows = [Row(n, float(n), pack_series([1]), array("d", [1.0])) for n in range(1, 5)]
    directory, (chunk,) = encode_window(rows)
    _, *rest = msgspec.msgpack.decode(decompress(directory))
    bomb = compress(msgspec.msgpack.encode((1 << 44, *rest)))
    with pytest.raises(StorageError, match="at most"):
        WindowView(1, bomb, lambda _: chunk, SeriesCache())
    _, *rest = msgspec.msgpack.decode(decompress(chunk))
    bomb = compress(msgspec.msgpack.encode((pack_numbers([1 << 30]), *rest)))
    with pytest.raises(StorageError, match="at most"):
        WindowView(1, directory, lambda _: bomb, SeriesCache()).column(1)


@pytest.mark.asyncio
async def test_half_of_a_surrogate_pair_is_found_nowhere(tmp_path, small):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        for _ in range(5):
            await storage.logs.write([LogEntry(1.0, "INFO", "a text")] * 5)
        await settle(storage)
        for query in (
            LogQuery(text="\ud800"),
            LogQuery(trace_id="\ud800"),
            LogQuery(attributes={"a": "\ud800"}),
        ):
            assert [one async for one in storage.logs.read(query)] == []


@pytest.mark.asyncio
async def test_verify_leaves_the_event_loop_alone(tmp_path, monkeypatch):
    threads = []
    looked = _verify.block_problems
    monkeypatch.setattr(
        _verify, "block_problems", lambda stored: threads.append(threading.current_thread()) or looked(stored)
    )
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        await storage.logs.write([LogEntry(1.0, "INFO", "a")])
        assert await storage.verify() == []
    assert threading.main_thread() not in threads
    assert len(threads) == 1


@pytest.mark.asyncio
async def test_a_batch_of_metrics_is_known_by_all_that_is_in_it(tmp_path, monkeypatch):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        checksums = []
        begin = storage.metric_batches.begin
        monkeypatch.setattr(
            storage.metric_batches,
            "begin",
            lambda records, sum_: checksums.append(sum_()) or begin(records, sum_),
        )
        for samples, metadata in (
            ([MetricSample("a", 1.0, 1.0)], []),
            ([MetricSample("b", 1.0, 1.0)], []),
            ([MetricSample("a", 1.0, 2.0)], []),
            ([MetricSample("a", 1.0, 1.0, {"plan": "pro"})], []),
            ([], [MetricMetadata("a")]),
            ([], [MetricMetadata("b")]),
        ):
            await storage.metrics.write(samples, metadata)
        assert len(set(checksums)) == 6


def test_an_empty_list_is_no_batch_that_failed():
    batches = Batches()
    first = batches.begin((), lambda: 1)
    batches.failed((), 1, 0, first)
    assert batches.begin((), lambda: 1) != first


@pytest.mark.asyncio
async def test_the_highest_cursor_is_looked_up(tmp_path):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        plan = await storage.fetch("EXPLAIN QUERY PLAN SELECT max(last) FROM writers", ())
    assert "writers_last" in plan[0][-1]
