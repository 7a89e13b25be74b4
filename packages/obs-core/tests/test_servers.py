"""What uvicorn and gunicorn log, with the loggers as they set them up."""

import logging

import pytest

from obs_core import LogHandler
from obs_core.servers import ServerHandler, capture_servers, release_servers

pytestmark = pytest.mark.unit


@pytest.fixture
def loggers():
    """The loggers of the servers as they are at first, put back afterwards."""
    names = ("uvicorn", "uvicorn.error", "uvicorn.access", "gunicorn.error", "gunicorn.access")
    kept = [(logging.getLogger(name), logging.getLogger(name).__dict__.copy()) for name in names]
    for logger, _ in kept:
        logger.handlers = []
        logger.setLevel(logging.INFO)
    yield {logger.name: logger for logger, _ in kept}
    for logger, state in kept:
        logger.__dict__.update(state)


@pytest.fixture
def handler():
    handler = LogHandler()
    root = logging.getLogger()
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)


def test_each_record_is_captured_once_wherever_it_goes(loggers, handler):
    loggers["uvicorn"].propagate = loggers["uvicorn.access"].propagate = False
    loggers["gunicorn.error"].propagate = False
    capture_servers(handler)
    capture_servers(handler)
    for logger in loggers.values():
        logger.info("from %s", logger.name)
    assert sorted(entry.message for entry in handler.drain(100)) == sorted(f"from {name}" for name in loggers)


def test_what_is_released_is_on_no_logger_and_what_another_handler_captures_stays(loggers, handler):
    other = LogHandler()
    loggers["uvicorn"].propagate = loggers["gunicorn.error"].propagate = False
    capture_servers(handler)
    capture_servers(other)
    release_servers(handler)
    release_servers(handler)
    left = [one for logger in loggers.values() for one in logger.handlers]
    assert [one.handler for one in left if isinstance(one, ServerHandler)] == [other, other]
    loggers["uvicorn.error"].info("still")
    assert [entry.message for entry in handler.drain(100)] == []
    assert [entry.message for entry in other.drain(100)] == ["still"]


def test_an_access_line_of_uvicorn_is_kept_without_its_query(loggers, handler):
    loggers["uvicorn.access"].propagate = False
    capture_servers(handler)
    line = '%s - "%s %s HTTP/%s" %d'
    loggers["uvicorn.access"].info(line, "127.0.0.1:1", "GET", "/orders?card=1234", "1.1", 200)
    (entry,) = handler.drain(100)
    assert entry.message == '127.0.0.1:1 - "GET /orders HTTP/1.1" 200'


@pytest.mark.parametrize("request_line", ["GET /orders?card=1234 HTTP/1.1", "GET /orders HTTP/1.1"])
def test_an_access_line_of_gunicorn_is_kept_without_its_query(loggers, handler, request_line):
    loggers["gunicorn.access"].propagate = False
    capture_servers(handler)
    atoms = {"h": "127.0.0.1", "r": request_line, "q": "card=1234", "s": "200"}
    loggers["gunicorn.access"].info('%(h)s "%(r)s" %(s)s %(q)s', atoms)
    (entry,) = handler.drain(100)
    assert entry.message == '127.0.0.1 "GET /orders HTTP/1.1" 200 '
    assert atoms["q"] == "card=1234"


def test_a_line_of_another_form_is_kept_as_it_is(loggers, handler):
    loggers["gunicorn.access"].propagate = False
    capture_servers(handler)
    loggers["gunicorn.access"].info("as it is")
    assert [entry.message for entry in handler.drain(100)] == ["as it is"]
