import asyncio
import gc
import logging
import logging.config
import os
import threading
import time
import warnings
from contextlib import suppress

import pytest

from obs_core import (
    ConfigurationError,
    LogEntry,
    LogQuery,
    MemoryStorage,
    MetricQuery,
    ObsError,
    Registry,
    RetentionPolicy,
    StorageError,
)
from obs_core.encoders import parse_series_key
from obs_core.servers import capture_servers
from obs_runtime import EmbeddedRuntime, _background, _work
from obs_storage_sqlite import SQLiteStorage

pytestmark = pytest.mark.integration


@pytest.fixture(params=["memory", "sqlite"])
def storage(request, tmp_path):
    return MemoryStorage() if request.param == "memory" else SQLiteStorage(tmp_path / "obs.db")


def entries(storage) -> list[LogEntry]:
    async def read() -> list[LogEntry]:
        return [stored.entry async for stored in storage.logs.read(LogQuery())]

    with asyncio.Runner() as runner:
        return runner.run(read())


def messages(storage) -> list[str]:
    return [entry.message for entry in entries(storage)]


def exposed(runtime: EmbeddedRuntime) -> dict[str, float]:
    return {
        key: value
        for family in runtime.collect()
        for key, value in zip(family.keys, family.values, strict=True)
    }


def eventually(seen) -> bool:
    deadline = time.monotonic() + 10
    while not seen() and time.monotonic() < deadline:
        time.sleep(0.01)
    return seen()


def test_what_was_logged_is_stored_when_flush_returns(storage):
    with EmbeddedRuntime(storage, signals=False, flush_interval=60) as runtime:
        logging.getLogger("shop").warning("paid", extra={"order": 7})
        runtime.logger("shop").info("direct", order=8)
        runtime.flush()
        assert messages(storage) == ["paid", "direct"]
        assert exposed(runtime)["obs_log_entries_total"] == 2
        assert exposed(runtime)["obs_storage_degraded"] == 0


def test_stop_stores_what_is_queued_and_starting_again_goes_on(storage):
    runtime = EmbeddedRuntime(storage, signals=False, flush_interval=60)
    for text in ("first", "second"):
        runtime.start()
        runtime.start()
        logging.getLogger("shop").warning(text)
        runtime.stop()
        runtime.stop()
    with EmbeddedRuntime(storage, signals=False) as reader:
        reader.flush()
        assert messages(storage) == ["first", "second"]


def test_what_is_logged_during_the_last_write_is_written_too():
    class Slow(MemoryStorage):
        """Real, but another thread logs while it writes the last batch."""

        async def write_slowly(self, entries: list[LogEntry]) -> None:
            if entries[0].message == "last":
                thread = threading.Thread(target=lambda: runtime.logger("shop").info("late"))
                thread.start()
                thread.join()
            await self.take(entries)

    storage = Slow()
    storage.take, storage.logs.write = storage.logs.write, storage.write_slowly
    with EmbeddedRuntime(storage, signals=False, flush_interval=60) as runtime:
        runtime.flush()
        runtime.logger("shop").info("last")
    runtime.logger("shop").info("after")
    assert exposed(runtime)['obs_log_entries_dropped_total{reason="stopped"}'] == 1
    with EmbeddedRuntime(storage, signals=False) as reader:
        reader.flush()
        assert messages(storage) == ["last", "late"]


def test_entries_before_the_start_are_kept_and_after_the_end_counted():
    storage = MemoryStorage()
    runtime = EmbeddedRuntime(storage, signals=False)
    runtime.logger("shop").info("early")
    with runtime:
        runtime.flush()
        assert messages(storage) == ["early"]
    runtime.logger("shop").info("late")
    assert exposed(runtime)['obs_log_entries_dropped_total{reason="stopped"}'] == 1


def test_an_error_is_stored_long_before_the_interval_is_over():
    storage = MemoryStorage()
    with EmbeddedRuntime(storage, signals=False, flush_interval=60) as runtime:
        runtime.flush()
        logging.getLogger("shop").error("failed")
        deadline = time.monotonic() + 5
        while not messages(storage) and time.monotonic() < deadline:
            os.sched_yield()
        assert messages(storage) == ["failed"]


def test_two_runtimes_one_after_the_other_may_have_one_registry():
    registry = Registry()
    for _ in range(2):
        with EmbeddedRuntime(MemoryStorage(), registry=registry, signals=False) as runtime:
            assert exposed(runtime)["obs_workers"] == 1


def test_entries_that_no_storage_takes_do_not_keep_others_back(capfd):
    class Picky(MemoryStorage):
        """Real, but refuses a batch that has a certain entry in it."""

        async def refuse(self, entries: list[LogEntry]) -> None:
            if any(entry.message == "poison" for entry in entries):
                raise ValueError("cannot be stored")
            await self.take(entries)

    storage = Picky()
    storage.take, storage.logs.write = storage.logs.write, storage.refuse
    with EmbeddedRuntime(storage, signals=False, flush_interval=60) as runtime:
        for text in ("before", "poison", "after"):
            runtime.logger("shop").info(text)
        runtime.flush()
        assert messages(storage) == ["before", "after"]
        assert exposed(runtime)['obs_log_entries_dropped_total{reason="refused"}'] == 1


def test_what_is_dropped_while_nothing_can_be_stored_is_counted_so(capfd):
    class Full(MemoryStorage):
        """Real, but without room."""

        async def refuse(self, entries: list[LogEntry]) -> None:
            raise StorageError("no room")

    storage = Full()
    storage.logs.write = storage.refuse
    with EmbeddedRuntime(storage, signals=False, flush_interval=60) as runtime:
        runtime.handler.queue.max_entries = 10
        runtime.logger("shop").info("kept")
        with pytest.raises(ObsError):
            runtime.flush()
        for number in range(100):
            runtime.logger("shop").info(str(number))
        del storage.logs.write
        runtime.flush()
        # Whoever asks later, when it can be stored again, gets the same answer.
        seen = exposed(runtime)
        assert seen["obs_storage_degraded"] == 0
        assert seen['obs_log_entries_dropped_total{reason="storage"}'] == 90
        assert seen['obs_log_entries_dropped_total{reason="queue_full"}'] == 0


def test_a_storage_that_hangs_keeps_neither_metrics_nor_the_end_back(tmp_path):
    class Hanging(MemoryStorage):
        """Real, but a write never ends."""

        async def hang(self, entries: list[LogEntry]) -> None:
            await asyncio.Event().wait()

    storage = Hanging()
    storage.logs.write = storage.hang
    told = []
    runtime = EmbeddedRuntime(storage, board=tmp_path / "live", signals=False)
    other = EmbeddedRuntime(MemoryStorage(), board=tmp_path / "live", signals=False)
    with other:
        runtime.start()
        runtime.on_stopping(lambda: told.append("stopping"))
        runtime.logger("shop").error("never")
        orders = runtime.registry.counter("orders", "Orders.")
        for total in (1.0, 2.0):
            orders.inc()
            assert eventually(lambda total=total: exposed(other).get("orders_total") == total)
        began = time.monotonic()
        runtime.stop()
        assert told == ["stopping"]
        assert time.monotonic() - began < 10


def test_two_runtimes_that_run_at_once_on_one_registry_are_an_error():
    registry = Registry()
    first = EmbeddedRuntime(MemoryStorage(), registry=registry, signals=False)
    second = EmbeddedRuntime(MemoryStorage(), registry=registry, signals=False)
    with first, pytest.raises(ConfigurationError, match="another runtime"):
        second.start()


WRONG = [
    ("storage", "obs.db"),
    ("storage", MemoryStorage),
    ("registry", "shop"),
    ("log_retention", 7),
    ("metrics_retention", None),
    ("flush_interval", 0),
    ("history_interval", "15"),
    ("log_level", "LOUD"),
]


@pytest.mark.parametrize(("option", "value"), WRONG)
def test_what_is_not_what_it_should_be_is_told_at_once(option, value):
    with pytest.raises(ConfigurationError, match=option):
        EmbeddedRuntime(**{"storage": MemoryStorage(), option: value})


def test_flush_without_a_start_says_so():
    with pytest.raises(ObsError, match="started"):
        EmbeddedRuntime(MemoryStorage(), signals=False).flush()


def test_a_storage_that_cannot_open_does_not_keep_the_service_from_starting(tmp_path, capfd):
    (tmp_path / "file").write_text("")
    storage, board = SQLiteStorage(tmp_path / "file" / "obs.db"), tmp_path / "board"
    with EmbeddedRuntime(storage, board=board, signals=False) as runtime:
        logging.getLogger("shop").warning("kept for later")
        with pytest.raises(ObsError, match="could be stored"):
            runtime.flush()
        seen = exposed(runtime)
    assert seen["obs_storage_degraded"] == 1
    assert seen['obs_storage_errors_total{operation="open the storage"}'] >= 1
    assert capfd.readouterr().err.count("open the storage") == 1


def test_a_write_that_failed_is_tried_again_and_nothing_is_lost(capfd):
    class Failing(MemoryStorage):
        """Real, but the first write fails as on a full disk."""

        failures = 1

        async def fail_once(self, entries: list[LogEntry]) -> None:
            if self.failures:
                self.failures -= 1
                raise StorageError("no room")
            await self.write(entries)

    storage = Failing()
    storage.write, storage.logs.write = storage.logs.write, storage.fail_once
    with EmbeddedRuntime(storage, signals=False, flush_interval=60) as runtime:
        runtime.flush()
        runtime.logger("shop").info("a")
        with pytest.raises(ObsError):
            runtime.flush()
        runtime.logger("shop").info("b")
        runtime.flush()
        assert messages(storage) == ["a", "b"]
        assert exposed(runtime)['obs_storage_errors_total{operation="write logs"}'] == 1
    assert "no room" in capfd.readouterr().err


def test_a_batch_whose_answer_was_lost_is_stored_once(tmp_path, monkeypatch):
    storage = SQLiteStorage(tmp_path / "obs.db")
    store, lost = storage.store, []

    async def stored(*batch) -> None:
        await store(*batch)
        if not lost and await storage.logs.count():
            lost.append(batch)
            raise StorageError("committed, but nobody knows")

    monkeypatch.setattr(storage, "store", stored)
    with EmbeddedRuntime(storage, signals=False, flush_interval=60) as runtime:
        for message in ("a", "b"):
            runtime.logger("shop").info(message)
        with suppress(ObsError):  # raised unless the first pass of the background was faster
            runtime.flush()
        runtime.flush()
        assert lost
        assert messages(storage) == ["a", "b"]


def test_the_history_of_each_series_is_written(storage):
    with EmbeddedRuntime(storage, signals=False, history_interval=0.001) as runtime:
        runtime.registry.counter("orders", "Orders.", labels=("plan",)).labels("pro").inc(3)

        async def read() -> list[float]:
            query = MetricQuery(name="orders_total", labels={"plan": "pro"})
            return [sample.value async for sample in storage.metrics.read(query)]

        def values() -> list[float]:
            with asyncio.Runner() as runner:
                return runner.run(read())

        runtime.flush()
        assert eventually(lambda: 3.0 in values())


def test_retention_holds_the_storage_to_its_policy():
    storage = MemoryStorage()
    policy = RetentionPolicy(max_count=5, levels={"DEBUG": RetentionPolicy(max_count=7)})
    with EmbeddedRuntime(storage, signals=False, log_retention=policy) as runtime:
        shop = runtime.logger("shop")
        for number in range(10):
            shop.debug(f"d{number}")
            shop.info(f"i{number}")
        runtime.flush()
        runtime._work._retention._next = 0.0
        kept = ["d3", "d4", "d5", "i5", "d6", "i6", "d7", "i7", "d8", "i8", "d9", "i9"]
        assert eventually(lambda: messages(storage) == kept)


def test_a_level_that_somebody_set_is_left_alone():
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    root.setLevel(logging.ERROR)
    try:
        with EmbeddedRuntime(MemoryStorage(), signals=False):
            assert root.level == logging.ERROR
        assert root.handlers == handlers
    finally:
        root.setLevel(level)


def test_a_handler_that_was_removed_is_put_back():
    with EmbeddedRuntime(MemoryStorage(), signals=False) as runtime:
        logging.getLogger().removeHandler(runtime.handler)
        assert eventually(lambda: runtime.handler in logging.getLogger().handlers)
    assert runtime.handler not in logging.getLogger().handlers


def test_after_the_end_it_holds_no_logger_of_a_server():
    server = logging.getLogger("uvicorn.error")
    kept = server.propagate, list(server.handlers)
    server.propagate, server.handlers = False, []
    try:
        for _ in range(3):
            runtime = EmbeddedRuntime(MemoryStorage(), signals=False)
            with runtime:
                assert runtime.running
                capture_servers(runtime.handler)
                assert len(server.handlers) == 1
            assert not runtime.running
            assert (server.handlers, runtime.handler in logging.getLogger().handlers) == ([], False)
    finally:
        server.propagate, server.handlers = kept


@pytest.mark.asyncio
async def test_it_works_inside_an_event_loop():
    storage = MemoryStorage()
    async with EmbeddedRuntime(storage, signals=False) as runtime:
        runtime.logger("shop").info("paid")
        runtime.flush()
        assert await storage.logs.count() == 1


def test_reports_are_counted_and_said_once_a_minute(capfd):
    now = [0.0]
    runtime = EmbeddedRuntime(MemoryStorage(), signals=False, monotonic=lambda: now[0])
    for _ in range(3):
        runtime.report("scrape", ValueError("odd"))
        runtime.report("publish", ValueError("even"))
    assert exposed(runtime)['obs_storage_errors_total{operation="scrape"}'] == 3
    assert capfd.readouterr().err == "obs: scrape: odd\n"
    now[0] = 60.0
    runtime.report("publish", ValueError("even"))
    assert capfd.readouterr().err == (
        "obs: publish: even (since the last line also: publish 3 times, scrape 2 times)\n"
    )


def test_stopping_is_told_once_to_each_that_did_not_take_it_back(capfd):
    told: list[str] = []
    runtime = EmbeddedRuntime(MemoryStorage(), signals=False)
    with runtime:
        runtime.on_stopping(lambda: 1 / 0)
        runtime.on_stopping(lambda: told.append("kept"))
        runtime.on_stopping(lambda: told.append("taken back"))()
    assert told == ["kept"]
    assert "stopping: division by zero" in capfd.readouterr().err
    runtime.on_stopping(lambda: told.append("late"))
    assert told == ["kept", "late"]
    with runtime:
        runtime.on_stopping(lambda: told.append("again"))
        assert told == ["kept", "late"]
    assert told == ["kept", "late", "again"]


def test_the_bound_on_series_is_that_of_the_whole_service(tmp_path):
    options = {"board": tmp_path / "board", "signals": False, "process_metrics": False}
    with (
        EmbeddedRuntime(MemoryStorage(), **options) as first,
        EmbeddedRuntime(MemoryStorage(), **options) as second,
    ):
        orders = first.registry.counter("orders", "Orders.", labels=("user",))
        for user in range(2000):
            orders.labels(user).inc()
        first.collect()
        second.registry.counter("orders", "Orders.", labels=("user",)).labels("7").inc()
        second.collect()
        for user in ("8", "new", "newer"):
            second.registry.counter("orders", "Orders.", labels=("user",)).labels(user).inc()
        seen = exposed(second)
        assert (seen['orders_total{user="7"}'], seen['orders_total{user="8"}']) == (2, 2)
        assert seen['orders_total{user="_overflow"}'] == 2
        assert seen['obs_series_dropped_total{metric="orders"}'] == 2
        assert len([key for key in seen if key.startswith("orders_total")]) == 2001


def test_the_bound_on_series_holds_where_nobody_asks_for_metrics(tmp_path):
    options = {"board": tmp_path / "board", "signals": False, "process_metrics": False}
    with (
        EmbeddedRuntime(MemoryStorage(), **options) as first,
        EmbeddedRuntime(MemoryStorage(), **options) as second,
    ):
        for runtime, users in ((first, range(1500)), (second, range(1500, 2001))):
            for user in users:
                runtime.registry.counter("orders", "Orders.", labels=("user",)).labels(user).inc()
            first.collect()
        orders = second.registry.counter("orders", "Orders.", labels=("user",))

        users = iter(range(3000, 10_000))

        def is_held() -> bool:
            orders.labels(next(users)).inc()
            return "_overflow" in str(second.registry.collect())

        assert eventually(is_held)


def test_the_names_of_secrets_are_an_option(storage):
    with EmbeddedRuntime(storage, signals=False, redact=["iban"]) as runtime:
        runtime.logger("shop").info("IBAN", iban="DE1")
        runtime.logger("shop").info("password", password="x")
        runtime.flush()
        assert [entry.attributes for entry in entries(storage)] == [{"iban": "***"}, {"password": "x"}]


def test_counts_of_two_runtimes_one_after_the_other_are_not_doubled(tmp_path):
    registry = Registry()
    orders = registry.counter("orders", "Orders.")
    with EmbeddedRuntime(MemoryStorage(), board=tmp_path / "live", signals=False) as witness:
        witness.collect()
        for expected in (5, 10, 15):
            with EmbeddedRuntime(
                MemoryStorage(), board=tmp_path / "live", registry=registry, signals=False
            ) as runtime:
                orders.inc(3)
                assert exposed(runtime)["orders_total"] == expected - 2
            orders.inc(2)
        assert exposed(witness)["orders_total"] == 13
        assert eventually(lambda: exposed(witness)["obs_workers"] == 2)


def test_a_flush_ends_while_others_go_on_logging():
    storage = MemoryStorage()
    done = threading.Event()
    with EmbeddedRuntime(storage, signals=False, flush_interval=60) as runtime:
        log = runtime.logger("shop")

        def emit() -> None:
            while not done.is_set():
                log.info("more")
                time.sleep(0.0001)

        thread = threading.Thread(target=emit)
        thread.start()
        try:
            for number in range(5):
                log.info(f"mine {number}")
                runtime.flush()
                assert f"mine {number}" in messages(storage)
        finally:
            done.set()
            thread.join()


def test_what_nobody_thought_of_does_not_end_the_background(capfd):
    storage = MemoryStorage()
    failures = iter([True])

    def odd(entry: LogEntry) -> LogEntry:
        if next(failures, False):
            raise RuntimeError("odd")
        return entry

    with EmbeddedRuntime(storage, signals=False, flush_interval=60) as runtime:
        runtime.flush()
        runtime.handler._redact = odd
        runtime.logger("shop").info("first")
        with pytest.raises(ObsError):
            runtime.flush()
        runtime.logger("shop").info("second")
        runtime.flush()
        assert messages(storage) == ["second"]
        assert exposed(runtime)['obs_log_entries_dropped_total{reason="refused"}'] == 1
        assert runtime._background.alive
    assert "odd" in capfd.readouterr().err


def test_a_background_that_ended_by_itself_is_begun_again():
    storage = MemoryStorage()
    with EmbeddedRuntime(storage, signals=False, flush_interval=60) as runtime:
        assert runtime._background.pause(10)
        runtime.logger("shop").info("again")
        runtime.start()
        runtime.flush()
        assert messages(storage) == ["again"]


def test_drops_are_not_moved_from_one_reason_to_another(capfd):
    runtime = EmbeddedRuntime(MemoryStorage(), signals=False)
    runtime.handler.queue.max_entries = 1
    for number in range(3):
        runtime.logger("shop").info(str(number))
    before = exposed(runtime)['obs_log_entries_dropped_total{reason="queue_full"}']
    runtime._status.failing = True
    runtime.logger("shop").info("more")
    after = exposed(runtime)
    assert before == after['obs_log_entries_dropped_total{reason="queue_full"}'] == 2
    assert after['obs_log_entries_dropped_total{reason="storage"}'] == 1


def test_a_service_with_any_name_forges_nothing(tmp_path):
    runtime = EmbeddedRuntime(MemoryStorage(), service='a"} 1\nfake 999\n', signals=False)
    runtime.registry.counter("orders", "Orders.").inc()
    (key,) = [key for key in exposed(runtime) if key.startswith("orders_total")]
    assert parse_series_key(key) == ("orders_total", {"service": 'a"} 1\nfake 999\n'})
    assert "\n" not in key


def test_two_runtimes_that_run_at_once_on_one_file_are_an_error(tmp_path):
    (tmp_path / "again").symlink_to(tmp_path)
    first = EmbeddedRuntime(SQLiteStorage(tmp_path / "obs.db"), signals=False)
    second = EmbeddedRuntime(SQLiteStorage(tmp_path / "again" / "obs.db"), signals=False)
    with first, pytest.raises(ConfigurationError, match="another runtime"):
        second.start()
    with second:
        second.logger("shop").info("once")
        second.flush()
        assert messages(second.storage) == ["once"]


def test_a_runtime_that_stopped_is_in_nobodys_way_though_its_folder_was_moved(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "current").symlink_to(tmp_path / "a")
    first = EmbeddedRuntime(SQLiteStorage(tmp_path / "current" / "obs.db"), signals=False)
    with first:
        first.flush()
        (tmp_path / "current").unlink()
        (tmp_path / "current").symlink_to(tmp_path / "b")
    with EmbeddedRuntime(SQLiteStorage(tmp_path / "a" / "obs.db"), signals=False) as second:
        second.flush()


def test_a_runtime_that_was_never_stopped_warns_when_it_goes_and_stops(tmp_path):
    handlers = logging.getLogger().handlers[:]
    runtime = EmbeddedRuntime(SQLiteStorage(tmp_path / "obs.db"), signals=False)
    runtime.start()
    runtime.logger("shop").info("kept")
    thread = runtime._background._thread
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        del runtime
        gc.collect()
    assert [str(one.message).endswith("was never stopped") for one in seen] == [True]
    thread.join(30)
    assert not thread.is_alive()
    assert logging.getLogger().handlers == handlers
    with EmbeddedRuntime(SQLiteStorage(tmp_path / "obs.db"), signals=False) as runtime:
        runtime.flush()
        assert messages(runtime.storage) == ["kept"]


def test_a_gauge_whose_function_blocks_for_ever_stops_neither_metrics_nor_entries(storage):
    registry, goes_on = Registry(), threading.Event()
    registry.gauge("jobs", "Jobs.").set_function(lambda: goes_on.wait(60))
    orders = registry.counter("orders", "Orders.")
    runtime = EmbeddedRuntime(storage, registry=registry, flush_interval=0.05)
    try:
        with runtime:
            for number in range(3):
                orders.inc()
                runtime.logger("shop").info(str(number))
                runtime.flush()
                assert exposed(runtime)["orders_total"] == number + 1
            assert exposed(runtime)['obs_gauge_functions_failed_total{metric="jobs"}'] == 1
    finally:
        goes_on.set()
    assert not runtime.running


@pytest.mark.parametrize("configure", ["dictConfig", "basicConfig"])
def test_logging_that_is_configured_anew_is_captured_at_once(configure, monkeypatch):
    monkeypatch.setattr(_background, "_SECOND", 60.0)
    root = logging.getLogger()
    known = list(root.handlers), root.level
    with EmbeddedRuntime(MemoryStorage(), signals=False, flush_interval=60) as runtime:
        try:
            if configure == "dictConfig":
                logging.config.dictConfig(
                    {
                        "version": 1,
                        "disable_existing_loggers": False,
                        "root": {"level": "INFO", "handlers": []},
                    }
                )
            else:
                logging.basicConfig(force=True)
            assert runtime.handler not in root.handlers
            assert eventually(lambda: runtime.handler in root.handlers)
        finally:
            root.handlers[:], level = known
            root.setLevel(level)


def test_loggers_that_keep_to_themselves_are_named_once_and_no_others(capfd):
    apart, captured = logging.getLogger("apart"), logging.getLogger("captured")
    runtime = EmbeddedRuntime(MemoryStorage(), signals=False)
    apart.propagate = captured.propagate = False
    captured.addHandler(runtime.handler)
    try:
        for _ in range(2):
            with runtime:
                runtime.flush()
    finally:
        apart.propagate = captured.propagate = True
        captured.removeHandler(runtime.handler)
    said = capfd.readouterr().err
    assert said.count("do not propagate") == 1
    assert "since they do not propagate: apart; add" in said


class Gate:
    """Before what a storage really does: the first write waits until it is let go, and fails where it is told to."""

    def __init__(self, storage: MemoryStorage, error: Exception | None = None) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        self._error, self._write = error, storage.logs.write
        storage.logs.write = self.write

    async def write(self, entries: list[LogEntry]) -> None:
        is_first = not self.reached.is_set()
        self.reached.set()
        while not self.open.is_set():  # noqa: ASYNC110  # another thread lets go
            await asyncio.sleep(0.01)
        if is_first and self._error is not None:
            raise self._error
        await self._write(entries)


def test_a_last_write_gives_up_nothing_that_another_did_not_store(capfd):
    storage = MemoryStorage()
    gate = Gate(storage, StorageError("busy for a moment"))
    with EmbeddedRuntime(storage, signals=False, flush_interval=60) as runtime:
        runtime.logger("shop").error("kept")
        assert gate.reached.wait(10)
        answer = runtime.ask(last=True)
        gate.open.set()
        assert answer.get(timeout=10)
        assert messages(storage) == ["kept"]
    assert "lost" not in capfd.readouterr().err


@pytest.mark.parametrize("by_signal", [False, True])
def test_a_last_write_beside_a_fork_stores_all(by_signal):
    storage = MemoryStorage()
    gate = Gate(storage)
    with EmbeddedRuntime(storage, signals=False, flush_interval=60) as runtime:
        for number in range(3000):
            runtime.logger("shop").info(str(number))
        runtime._bell.ring()
        assert gate.reached.wait(10)
        if by_signal:
            runtime.hurry()
        runtime.before_fork()
        answer = runtime.ask(last=True)
        gate.open.set()
        if not by_signal:
            assert eventually(lambda: not runtime._background.alive)
            runtime.after_fork_in_parent()
        # The handler of a signal may be inside the fork: nobody else answers it.
        assert answer.get(timeout=10)
        if by_signal:
            runtime.after_fork_in_parent()
            runtime.flush()
        assert len(messages(storage)) == 3000


def test_after_a_signal_and_a_fork_each_entry_is_stored_soon():
    storage = MemoryStorage()
    with EmbeddedRuntime(storage, signals=False, flush_interval=60) as runtime:
        runtime.flush()
        runtime.hurry()
        runtime.before_fork()
        assert eventually(lambda: not runtime._background.alive)
        runtime.after_fork_in_parent()
        runtime.flush()
        runtime.logger("shop").info("after")
        assert eventually(lambda: messages(storage) == ["after"])


def test_a_stop_while_the_handler_is_being_put_back_leaves_nothing_on_the_root_logger(monkeypatch):
    monkeypatch.setattr(_background, "_SECOND", 60.0)
    root, put_on = logging.getLogger(), _work.put_on
    known = root.handlers[:]
    runtime = EmbeddedRuntime(MemoryStorage(), signals=False, flush_interval=60)
    with runtime:
        runtime.flush()
        root.removeHandler(runtime.handler)
        monkeypatch.setattr(_work, "put_on", lambda *both: (runtime.stop(), put_on(*both)))
        runtime._work.capture()
        assert not runtime.running
        assert root.handlers == known
