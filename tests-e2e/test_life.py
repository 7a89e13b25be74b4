"""Starts, stops and restarts of every example, with a real Prometheus that looks on."""

import signal

import pytest

from harness import until
from harness.examples import ALL, DJANGO_ASGI, DJANGO_SYNC, FASTAPI

pytestmark = pytest.mark.e2e
every_example = pytest.mark.parametrize("example", ALL, ids=lambda example: example.name)
# A restart takes Prometheus some seconds to see: an example of each interface will do.
some_examples = pytest.mark.parametrize(
    "example", [FASTAPI, DJANGO_ASGI, DJANGO_SYNC], ids=lambda example: example.name
)
COUNT = "http_server_request_duration_seconds_count"


def numbers(service, example):
    """The numbers of the pages whose entries are stored, in the order of storing."""
    return [int(line["attributes"][example.attribute]) for line in service.logs(logger=example.logger)]


def ask(service, example, numbers):
    for number in numbers:
        assert service.get(example.path(number)).status_code == 200


@some_examples
def test_a_real_prometheus_sees_what_was_sent_and_a_restart_as_a_reset(start, example):
    first = start.example(example)
    expression = f'{COUNT}{{http_route="{example.route}",http_response_status_code="200"}}'
    ask(first, example, range(5))
    prometheus = start.prometheus(first)
    prometheus.wait_for(expression, 5)
    ask(first, example, [5, 6])
    prometheus.wait_for(expression, 7)
    [target] = prometheus.targets()
    assert (target["health"], target["lastError"]) == ("up", "")
    first.server.stop()

    second = start.example(example, port=first.server.port)
    assert numbers(second, example) == list(range(7)), "yesterday's logs are there"
    ask(second, example, [7, 8, 9])
    prometheus.wait_for(expression, 3)
    assert prometheus.value(f"resets({expression}[2m])") == 1
    # What came before the first scrape is unknown to it, and it extrapolates towards the ends of the window.
    assert 2 + 3 <= prometheus.value(f"increase({expression}[2m])") < 10


@every_example
@pytest.mark.parametrize("end", ["SIGTERM", "ctrl-C"])
def test_nothing_that_was_logged_is_lost_at_the_end(start, example, end):
    first = start.example(example)
    ask(first, example, range(20))
    if end == "SIGTERM":
        first.server.stop(signal.SIGTERM)
    else:
        example.interrupt(first.server)
    assert numbers(start.example(example), example) == list(range(20))


@every_example
def test_kill_9_loses_at_most_a_flush_interval(start, example):
    first = start.example(example)
    ask(first, example, [1])
    until(lambda: numbers(first, example) == [1], "the entry is stored", deadline=10)
    ask(first, example, [2])
    first.server.kill()
    assert numbers(start.example(example), example) in ([1], [1, 2])
