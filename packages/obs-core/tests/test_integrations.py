"""structlog and loguru as their users set them up."""

import logging

import loguru
import pytest
import structlog

from obs_core import LogHandler, bind
from obs_core.integrations import loguru_sink, structlog_processor

pytestmark = pytest.mark.unit


@pytest.fixture
def handler():
    return LogHandler()


@pytest.fixture
def standard(handler):
    """A logger of `logging` that structlog writes to."""
    logger = logging.getLogger("structlog-test")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    logger.removeHandler(handler)


@pytest.fixture
def log(handler):
    """A logger of loguru's own, since theirs is one for the process."""
    from loguru._logger import Core, Logger

    logger = Logger(Core(), None, 0, False, False, False, False, True, [], {})
    logger.add(loguru_sink(handler), level=0, catch=False)
    return logger


def one(handler):
    (entry,) = handler.drain(10)
    return entry


def wrapped(standard, *processors):
    return structlog.wrap_logger(standard, processors=processors, wrapper_class=structlog.stdlib.BoundLogger)


@pytest.mark.parametrize(
    "last",
    [structlog.stdlib.ProcessorFormatter.wrap_for_formatter, structlog.stdlib.render_to_log_kwargs],
)
def test_structlog_through_logging_keeps_its_values_apart(handler, standard, last):
    log = wrapped(
        standard,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(),
        structlog.stdlib.PositionalArgumentsFormatter(),
        last,
    )
    with bind(request_id="r1"):
        log.bind(plan="pro").warning("order %d paid", 7, items=[1, 2])
    entry = one(handler)
    assert (entry.level, entry.message, entry.logger) == ("WARNING", "order 7 paid", "structlog-test")
    expected = {"request_id": "r1", "plan": "pro", "items": [1, 2]}
    assert {name: entry.attributes[name] for name in expected} == expected
    assert not {"event", "_logger", "_name", "_record"} & set(entry.attributes)


def test_an_exception_that_structlog_hands_on_becomes_attributes(handler, standard):
    log = wrapped(standard, structlog.stdlib.ProcessorFormatter.wrap_for_formatter)
    try:
        raise KeyError("order")
    except KeyError:
        log.exception("failed")
    entry = one(handler)
    assert (entry.level, entry.message) == ("ERROR", "failed")
    assert entry.attributes["exception.type"] == "KeyError"


def test_what_structlog_rendered_is_the_message(handler, standard):
    wrapped(standard, structlog.processors.JSONRenderer(sort_keys=True)).info("paid", order=7)
    assert one(handler).message == '{"event": "paid", "order": 7}'


def test_a_processor_queues_each_event_and_passes_it_on(handler):
    lines = []
    log = structlog.wrap_logger(
        structlog.PrintLogger(),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(),
            structlog_processor(handler),
            lambda logger, method, event: lines.append(dict(event)) or "",
        ],
    )
    with bind(trace_id="a" * 32):
        log.info("paid", order=7)
    try:
        raise ValueError("no")
    except ValueError:
        log.exception("failed", order=8)
    paid, failed = handler.drain(10)
    assert (paid.level, paid.message, paid.logger, paid.attributes, paid.trace_id) == (
        "INFO",
        "paid",
        "structlog",
        {"order": 7},
        "a" * 32,
    )
    assert (failed.level, failed.attributes["exception.message"]) == ("ERROR", "no")
    assert [line["event"] for line in lines] == ["paid", "failed"]


def test_a_processor_keeps_the_texts_that_others_made(handler):
    process = structlog_processor(handler)
    event = {"event": "failed", "exception": "Traceback ...", "stack": "Stack ...", "logger": "shop"}
    assert process(None, "critical", event) is event
    entry = one(handler)
    assert (entry.level, entry.logger) == ("CRITICAL", "shop")
    assert entry.attributes == {
        "exception.stacktrace": "Traceback ...",
        "code.stacktrace": "Stack ...",
    }


def test_a_sink_takes_what_loguru_has(handler, log):
    with bind(request_id="r1"):
        log.bind(plan="pro").info("order {} paid", 7, items=[1])
    entry = one(handler)
    assert (entry.level, entry.message, entry.logger) == ("INFO", "order 7 paid", __name__)
    assert entry.attributes == {"request_id": "r1", "plan": "pro", "items": [1]}


@pytest.mark.parametrize(
    ("method", "level", "kept"),
    [("success", "INFO", "SUCCESS"), ("trace", "TRACE", None), ("critical", "CRITICAL", None)],
)
def test_levels_of_loguru_are_mapped_down_and_their_name_is_kept(handler, log, method, level, kept):
    getattr(log, method)("x")
    entry = one(handler)
    assert (entry.level, entry.attributes.get("level")) == (level, kept)


def test_an_exception_of_loguru_becomes_attributes(handler, log):
    try:
        raise KeyError("order")
    except KeyError:
        log.exception("failed")
    entry = one(handler)
    assert (entry.level, entry.attributes["exception.type"]) == ("ERROR", "KeyError")
    assert "test_an_exception_of_loguru" in entry.attributes["exception.stacktrace"]


def test_the_handler_may_be_a_sink_itself(handler):
    from loguru._logger import Core, Logger

    logger = Logger(Core(), None, 0, False, False, False, False, True, [], {})
    logger.add(handler, format="{message}")
    logger.opt(raw=False).warning("disk {}", "full")
    entry = one(handler)
    assert (entry.level, entry.message) == ("WARNING", "disk full")


def test_loguru_itself_is_not_needed_to_import_this():
    assert loguru.__name__ not in vars(__import__("obs_core.integrations", fromlist=["x"]))
