import gc
import io
import logging
import signal
import sys
import threading

import pytest

from obs_core import LogHandler, bind
from obs_core._attributes import clean
from obs_core._queue import LogQueue

pytestmark = pytest.mark.unit


@pytest.fixture
def handler():
    return LogHandler()


@pytest.fixture
def log(handler):
    logger = logging.Logger("shop")  # apart from the loggers of the process
    logger.addHandler(handler)
    return logger


def one(handler):
    (entry,) = handler.drain(10)
    return entry


def test_a_call_becomes_an_entry(log, handler):
    log.info("order %d paid", 7, extra={"plan": "pro"})
    entry = one(handler)
    assert (entry.level, entry.message, entry.logger) == ("INFO", "order 7 paid", "shop")
    assert entry.attributes == {"plan": "pro"}
    assert handler.accepted == 1


def test_an_exception_becomes_attributes(log, handler):
    try:
        raise KeyError("order")
    except KeyError:
        log.exception("failed")
    attributes = one(handler).attributes
    assert attributes["exception.type"] == "KeyError"
    assert attributes["exception.message"] == "'order'"
    assert "test_an_exception_becomes_attributes" in attributes["exception.stacktrace"]


def test_the_stack_is_an_attribute_where_it_was_asked_for(log, handler):
    log.info("here", stack_info=True)
    assert "test_the_stack_is" in one(handler).attributes["code.stacktrace"]


@pytest.mark.parametrize(
    ("number", "name", "level", "kept"),
    [(25, "NOTICE", "INFO", "NOTICE"), (5, "TRACE", "TRACE", None), (35, "Level 35", "WARNING", "Level 35")],
)
def test_other_levels_are_mapped_down_and_their_name_is_kept(handler, number, name, level, kept):
    record = logging.makeLogRecord({"levelno": number, "levelname": name, "msg": "x"})
    handler.handle(record)
    entry = one(handler)
    assert (entry.level, entry.attributes.get("level")) == (level, kept)


def test_arguments_are_formatted_and_copied_at_the_call(log, handler):
    items = [1]
    log.info("%s", items, extra={"items": items})
    items.append(2)
    entry = one(handler)
    assert (entry.message, entry.attributes) == ("[1]", {"items": [1]})


def test_what_cannot_be_printed_says_so_and_the_host_never_sees_it(log, handler):
    class Unprintable:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    log.info("%s", Unprintable(), extra={"thing": Unprintable()})
    log.info("%d", "no number")
    log.info(Unprintable())
    assert [entry.message for entry in handler.drain(10)] == [
        "%s <unprintable arguments>",
        "%d <unprintable arguments>",
        "<unprintable Unprintable> <unprintable arguments>",
    ]


def test_text_that_logs_while_it_is_made_is_logged_too(log, handler):
    class Chatty:
        def __str__(self) -> str:
            log.info("inner")
            return "outer"

    log.info("%s", Chatty())
    assert [entry.message for entry in handler.drain(10)] == ["inner", "outer"]


@pytest.mark.parametrize("way", ["argument", "attribute", "direct"])
def test_text_that_logs_itself_ends_and_what_was_left_out_is_counted(log, handler, way):
    direct = handler.logger("shop")

    class Endless:
        def __str__(self) -> str:
            {
                "argument": lambda: log.info("%s", self),
                "attribute": lambda: log.info("x", extra={"thing": self}),
                "direct": lambda: direct.info("x", thing=self),
            }[way]()
            return "endless"

    log.info("%s", Endless())
    assert len(handler.drain(100)) == 3
    assert handler.queue.dropped()["recursion"] == 1


def test_what_is_bound_is_in_every_entry_below(log, handler):
    with bind(request_id="r1", trace_id="a" * 32, span_id="b" * 16):
        log.info("x", extra={"order": 1})
    log.info("y")
    inside, outside = handler.drain(10)
    assert (inside.attributes, inside.trace_id, inside.span_id) == (
        {"request_id": "r1", "order": 1},
        "a" * 32,
        "b" * 16,
    )
    assert (outside.attributes, outside.trace_id) == ({}, "")


@pytest.mark.parametrize("name", ["obs_core", "obs_runtime.background", "aiosqlite"])
def test_our_own_loggers_are_not_captured(handler, name):
    assert not handler.handle(
        logging.makeLogRecord({"name": name, "msg": "x", "levelno": 20, "levelname": "INFO"})
    )
    assert handler.drain(10) == []


def test_errors_wake_the_writer_and_others_do_not(log, handler):
    woken = []
    handler.on_urgent = lambda: woken.append(1)
    log.info("a")
    log.error("b")
    log.critical("c")
    assert len(woken) == 2


def test_after_the_end_entries_are_counted_as_dropped(log, handler):
    handler.closed = True
    log.info("late")
    assert handler.drain(10) == []
    assert handler.queue.dropped()["stopped"] == 1
    handler.closed = False
    log.info("again")
    assert one(handler).message == "again"


def test_an_entry_over_the_bound_is_cut_and_marked(log, handler):
    log.info("m" * 1_000_000, extra={"body": "b" * 1_000_000, "order": 7})
    entry = one(handler)
    assert entry.attributes["obs.truncated"] is True
    assert len(entry.message) + len(entry.attributes["body"]) <= 65_536


def test_secrets_are_gone_before_the_entry_leaves(log, handler):
    log.info("Authorization: Bearer abcdef123", extra={"db_password": "x", "nested": {"api_key": "y"}})
    entry = one(handler)
    assert entry.message == "Authorization: Bearer ***"
    assert entry.attributes == {"db_password": "***", "nested": {"api_key": "***"}}


def test_a_direct_logger_takes_attributes_by_name(handler):
    shop = handler.logger("shop")
    with bind(request_id="r1", trace_id="a" * 32):
        shop.warning("paid", order=7)
    try:
        raise ValueError("no")
    except ValueError:
        shop.exception("failed")
    paid, failed = handler.drain(10)
    assert (paid.level, paid.logger, paid.attributes, paid.trace_id) == (
        "WARNING",
        "shop",
        {"request_id": "r1", "order": 7},
        "a" * 32,
    )
    assert failed.attributes["exception.type"] == "ValueError"


def test_every_level_has_its_method(handler):
    shop = handler.logger("shop")
    for method in (shop.trace, shop.debug, shop.info, shop.warning, shop.error, shop.critical):
        method("x")
    assert [entry.level for entry in handler.drain(10)] == [
        "TRACE",
        "DEBUG",
        "INFO",
        "WARNING",
        "ERROR",
        "CRITICAL",
    ]


def test_a_filter_of_the_host_is_honoured(log, handler):
    handler.addFilter(lambda record: "keep" in record.getMessage())
    log.info("keep")
    log.info("lose")
    assert one(handler).message == "keep"


def test_a_signal_handler_that_logs_never_waits(log, handler):
    logged = 0

    def on_alarm(*_: object) -> None:
        nonlocal logged
        log.info("from the signal handler")
        logged += 1

    previous = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        sent = 0
        while logged < 200:
            log.info("from the program")
            sent += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    kept = [entry.message for entry in handler.drain(10_000_000)]
    dropped = handler.queue.dropped()
    assert len(kept) + dropped["queue_full"] == sent + logged
    assert sum(dropped.values()) == dropped["queue_full"]


def test_from_many_threads_kept_and_dropped_is_what_was_sent():
    queue = LogQueue(max_entries=1000)
    handler = LogHandler(queue)
    log = logging.Logger("burst")
    log.addHandler(handler)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=lambda: [log.info("x") for _ in range(3000)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    kept = len(handler.drain(100_000))
    assert kept <= 1007
    assert kept + queue.dropped()["queue_full"] == 24_000
    assert (queue.entries, queue.size) == (0, 0)


def test_a_record_that_another_handler_formatted_first_is_the_same_entry(log, handler):
    formatter = logging.StreamHandler(io.StringIO())
    formatter.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.handlers.insert(0, formatter)
    log.info("paid")
    log.info("order %d", 7)
    assert [(entry.message, entry.attributes) for entry in handler.drain(10)] == [
        ("paid", {}),
        ("order 7", {}),
    ]


@pytest.mark.parametrize("name", ["obs_shop", "obs", "obscure", "aio"])
def test_loggers_of_the_host_whose_names_look_like_ours_are_captured(handler, name):
    log = logging.Logger(name)
    log.addHandler(handler)
    log.info("x")
    log.info("%s", "y", extra={"order": 1})
    assert [entry.logger for entry in handler.drain(10)] == [name, name]


def test_text_beyond_ascii_is_kept_and_lone_surrogates_are_replaced(log, handler):
    log.info("Straße \U0001f600")
    log.info("bad \ud800")
    log.info("%s", "bad \ud800")
    assert [entry.message for entry in handler.drain(10)] == ["Straße \U0001f600", "bad ?", "bad ?"]


def test_the_name_of_a_logger_of_ours_is_made_valid_too(handler):
    handler.logger("shop\ud800").info("paid")
    assert one(handler).logger == "shop?"


def test_arguments_may_be_a_mapping(log, handler):
    log.info("%(plan)s", {"plan": "pro"})
    assert one(handler).message == "pro"


def test_a_message_may_be_any_object(log, handler):
    log.info({"plan": "pro"})
    log.info(7)
    assert [entry.message for entry in handler.drain(10)] == ["{'plan': 'pro'}", "7"]


def test_what_is_wrong_with_a_record_is_counted_and_never_raised(handler):
    record = logging.makeLogRecord({"msg": "x", "levelno": 20, "levelname": "INFO"})
    del record.created
    assert not handler.handle(record)
    assert handler.queue.dropped()["error"] == 1


def test_a_call_that_wakes_the_writer_and_fails_is_counted_and_never_raised(log, handler):
    def fail() -> None:
        raise OSError("no pipe")

    handler.on_urgent = fail
    log.error("x")
    handler.logger("shop").error("y")
    assert [entry.message for entry in handler.drain(10)] == ["x", "y"]


@pytest.mark.parametrize("closed", [True, False])
def test_in_a_thread_of_our_own_nothing_is_captured(log, handler, closed):
    handler.closed = closed
    with handler.silence():
        log.info("a storage that logs what it writes")
        log.info("%s", "again", extra={"x": 1})
        other = threading.Thread(target=lambda: log.info("another thread"))
        other.start()
        other.join()
    log.info("afterwards")
    kept = [entry.message for entry in handler.drain(10)]
    assert kept == ([] if closed else ["another thread", "afterwards"])
    dropped = handler.queue.dropped()
    assert (dropped["own"], dropped["stopped"]) == ((0, 4) if closed else (2, 0))


def test_a_thread_of_our_own_is_known_where_records_do_not_tell(log, handler, monkeypatch):
    monkeypatch.setattr(logging, "logThreads", False)
    log.info("warm")
    with handler.silence(), handler.silence():
        log.info("own")
        other = threading.Thread(target=lambda: log.info("another thread"))
        other.start()
        other.join()
    assert [entry.message for entry in handler.drain(10)] == ["warm", "another thread"]
    assert handler._silent == frozenset()


def test_before_anyone_drains_entries_are_kept(log, handler):
    log.info("before the start")
    handler.logger("shop").info("too")
    assert len(handler.queue) == 2


def test_the_names_of_secrets_are_an_option():
    handler = LogHandler(redact=["iban"])
    handler.logger("shop").info("paid", iban="DE1", password="x")
    assert one(handler).attributes == {"iban": "***", "password": "x"}
    as_it_is = LogHandler(redact=lambda entry: entry)
    as_it_is.logger("shop").info("Bearer abcdefgh")
    assert one(as_it_is).message == "Bearer abcdefgh"


@pytest.mark.parametrize(
    ("level", "known", "kept"),
    [
        ("warn", "WARNING", None),
        ("fatal", "CRITICAL", None),
        ("notice", "INFO", "notice"),
        ("exception", "ERROR", None),
    ],
)
def test_a_direct_logger_takes_any_name_of_a_level(handler, level, known, kept):
    handler.logger("shop").log(level, "x")
    entry = one(handler)
    assert (entry.level, entry.attributes.get("level")) == (known, kept)


@pytest.mark.parametrize("exc_info", [True, ValueError("no"), (ValueError, ValueError("no"), None)])
def test_an_exception_is_given_in_each_of_the_usual_ways(handler, exc_info):
    try:
        raise ValueError("no")
    except ValueError:
        handler.log("shop", "ERROR", "failed", {}, exc_info=exc_info)
    assert one(handler).attributes["exception.message"] == "no"


def test_an_exception_that_is_none_adds_nothing(handler):
    handler.log("shop", "ERROR", "failed", {}, exc_info=True)
    handler.log("shop", "ERROR", "failed", {}, exc_info=(None, None))
    assert [entry.attributes for entry in handler.drain(10)] == [{}, {}]


def test_memory_of_text_beyond_ascii_is_counted_as_what_it_takes(log, handler):
    log.info("\U0001f600" * 1000)
    assert handler.queue.size > 4000
    log.info("\U0001f600" * 60_000)
    assert len(handler.drain(10)[1].message) <= 65_536 // 8


def test_a_large_attribute_that_is_no_text_is_left_out(log, handler):
    log.info("x", extra={"a": 1, "large": [["y" * 1000] * 10] * 10, "z": 2})
    entry = one(handler)
    assert entry.attributes == {"obs.truncated": True, "a": 1}


def test_a_filter_may_give_another_record_since_python_allows_it(log, handler):
    handler.addFilter(lambda record: logging.makeLogRecord({**vars(record), "msg": "another"}))
    log.info("x")
    assert one(handler).message == ("another" if sys.version_info >= (3, 12) else "x")


def test_the_handler_survives_the_end_of_logging(handler):
    logging.shutdown([lambda: handler])
    handler.acquire()
    handler.release()


def test_a_name_of_a_logger_that_is_no_valid_text_is_mended_each_time(handler):
    log = logging.Logger("shop\ud800")
    log.addHandler(handler)
    for _ in range(3):
        log.info("x")
    assert [entry.logger for entry in handler.drain(10)] == ["shop?"] * 3


def test_names_and_identifiers_are_bounded(handler):
    with bind(trace_id="a" * 1000, span_id="b" * 100_000):
        handler.logger("l" * 1000).info("x", **{"n" * 100_000: 1})
    entry = one(handler)
    assert (entry.logger, entry.trace_id, entry.span_id) == ("l" * 512, "a" * 512, "b" * 512)
    assert entry.attributes == {"obs.truncated": True}


def test_a_formatter_that_ran_before_leaves_nothing_among_the_attributes(log, handler):
    formatter = logging.StreamHandler(io.StringIO())
    formatter.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.handlers.insert(0, formatter)
    for _ in range(2):
        log.info("paid", extra={"order": 7})
    assert [entry.attributes for entry in handler.drain(10)] == [{"order": 7}] * 2


def test_extra_may_have_names_of_any_kind(log, handler):
    for _ in range(2):
        log.info("x", extra={1: "a", None: "b", "straße": "c", "trace_id": "t", "span_id": 7})
    for entry in handler.drain(10):
        assert entry.attributes == {"1": "a", "None": "b", "straße": "c"}
        assert (entry.trace_id, entry.span_id) == ("t", "7")


def test_a_direct_logger_takes_every_name(handler):
    names = [
        "self",
        "message",
        "level",
        "name",
        "msg",
        "args",
        "logger",
        "timestamp",
        "attributes",
        "asctime",
    ]
    given = dict.fromkeys(names, 1)
    for _ in range(2):
        handler.logger("shop").info("x", **given)
        handler.logger("shop").log("INFO", "x", **given)
    assert [entry.attributes for entry in handler.drain(10)] == [given] * 4


def test_names_over_the_thousand_that_are_shared_are_kept_too(handler, monkeypatch):
    monkeypatch.setattr("obs_core._attributes._names", {})
    shop = handler.logger("shop")
    for number in range(1100):
        shop.info("x", **{f"n{number}": number})
    assert [entry.attributes for entry in handler.drain(2000)] == [{f"n{n}": n} for n in range(1100)]


@pytest.mark.parametrize("value", [[1], {"a": 1}, float("nan"), 2**70, b"x", "a\ud800", Ellipsis])
def test_what_is_no_plain_value_is_cleaned_wherever_it_stands(log, handler, value):
    cleaned = clean({"x": value})
    for _ in range(2):
        log.info("x", extra={"first": 1, "x": value, "last": "b"})
        handler.logger("shop").info("x", first=1, x=value, last="b")
        with bind(first=1, x=value):
            log.info("x", extra={"last": "b"})
    assert [entry.attributes for entry in handler.drain(10)] == [{"first": 1, **cleaned, "last": "b"}] * 6


def test_entries_of_one_context_share_nothing_that_can_be_changed(log):
    def redact(entry):
        entry.attributes["seen"] = True
        return entry

    handler = LogHandler(redact=redact)
    log.handlers = [handler]
    items = [1]
    with bind(request_id="r1", trace_id="a" * 32):
        log.info("x")
        (first,) = handler.drain(10)
        log.info("y")
        assert first.attributes == {"request_id": "r1", "seen": True}
        assert one(handler).attributes is not first.attributes
    with bind(items=items):
        log.info("x")
        items.append(2)
        log.info("y")
    assert [entry.attributes["items"] for entry in handler.drain(10)] == [[1], [1, 2]]


def test_each_of_many_contexts_is_its_own(log, handler):
    for _ in range(2):
        for number in range(200):
            with bind(request_id=f"r{number}", trace_id=f"{number:032x}"):
                log.info("x")
                log.info("y", extra={"request_id": "another"})
    entries = handler.drain(1000)
    assert [entry.attributes["request_id"] for entry in entries[::2]] == [f"r{n}" for n in range(200)] * 2
    assert {entry.attributes["request_id"] for entry in entries[1::2]} == {"another"}
    assert [int(entry.trace_id, 16) for entry in entries] == [n for n in range(200) for _ in range(2)] * 2


def test_more_attributes_than_a_thousand_are_cut_and_marked(log, handler):
    log.info("x", extra={f"n{number}": number for number in range(5000)})
    attributes = one(handler).attributes
    assert attributes["obs.truncated"] is True
    assert len(attributes) <= 1001


def test_what_is_logged_while_objects_are_deleted_is_an_entry_too(log, handler):
    class Closing:
        def __init__(self) -> None:
            self.itself = self  # so that only the collector finds it, in the middle of whatever runs

        def __del__(self) -> None:
            log.info("deleted", extra={"by": "the collector"})

    thresholds = gc.get_threshold()
    gc.set_threshold(10, 1, 1)
    try:
        for number in range(500):
            Closing()
            log.info("order %d", number, extra={"order": number})
            handler.logger("shop").info("paid", order=number)
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    entries = handler.drain(10_000)
    assert sum(entry.message == "deleted" for entry in entries) == 500
    assert len(entries) == 1500
