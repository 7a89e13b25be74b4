"""With four workers, `/metrics` is right from any of them: a real server of each kind, under load."""

import os
import random
import signal
import time
from itertools import product

import pytest

from harness import Load, Scraper, until
from harness.workers import OPTIONS, SERVERS, Case

pytestmark = pytest.mark.e2e
COUNT = "http_server_request_duration_seconds_count"
# The long form: all of it, and more of it.
SOAK = bool(os.environ.get("OBS_E2E_SOAK"))

EVERY = [
    Case(server, option, storage)
    for server, option, storage in product(SERVERS, OPTIONS, ("sqlite", "ring"))
    if (server, option) != ("uvicorn", "preload")  # it has none
]
# Each server with each option; the storages take turns, both only in the long form.
CASES = EVERY if SOAK else [case for number, case in enumerate(EVERY) if (number // 2 + number) % 2]
KILLED = [Case(server, "", storage) for server, storage in zip(SERVERS, ("sqlite", "ring") * 2, strict=True)]


def requests(case) -> int:
    """How many to send: a worker that begins anew imports all, which takes most of a second."""
    if case.option == "max-requests":
        return 5000 if SOAK else 250
    return 20_000 if SOAK else 1500


def counted(service, at_least):
    """The page once so many orders are on it: a worker publishes within a second, perhaps in the midst of a request."""

    def complete():
        page = service.metrics()
        requests = page.total(COUNT, http_response_status_code="200")
        found = min(page.total("orders_total"), page.total("order_size_count"), requests)
        return found >= at_least and page

    return until(complete, f"{at_least} orders are counted", 10)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_totals_never_fall_and_are_exactly_what_was_sent(start, case):
    service = case.start(start)
    with Scraper(service) as scraper:
        sent = Load(service, requests(case)).finish()
        page = counted(service, len(sent.answered))
    answered, workers = len(sent.answered), len({worker for _, worker in sent.answered})
    print(
        f"{case.name}: {answered} answered by {workers} workers, {sent.failed} failed, "
        f"{scraper.scrapes} scrapes, {len(scraper.fell)} falls"
    )
    assert scraper.fell == []
    assert scraper.scrapes > 0
    # A request that failed may have been counted before its answer was lost, at the restart of a worker.
    most = answered + sent.failed
    assert answered <= page.total("orders_total") <= most
    assert page.total("order_size_count") == page.total("orders_total")
    assert page.samples['order_size_bucket{le="+Inf"}'] == page.total("order_size_count")
    assert answered <= page.total(COUNT, http_response_status_code="200") <= most
    if case.option != "max-requests":
        assert sent.failed == 0


@pytest.mark.parametrize("case", KILLED, ids=lambda case: case.name)
def test_kill_9_of_workers_costs_at_most_their_last_second(start, case):
    service = case.start(start)
    chance = random.Random(4)
    may_miss, kills = 0, 100 if SOAK else 10
    with Scraper(service) as scraper:
        load = Load(service, 1_000_000)
        for _ in range(kills):
            time.sleep(0.4)
            worker = until(lambda: chance.choice(service.server.workers() or [0]), "a worker lives")
            os.kill(worker, signal.SIGKILL)
            killed = time.monotonic()
            time.sleep(0.2)
            # A second, and what the machine makes of it.
            may_miss += load.sent.by(worker, killed - 1.5, killed + 0.2)
        until(lambda: len(service.server.workers()) == 4, "all workers are back", 30)
        sent = load.stop()
        page = settled(service)
    total, answered = page.total("orders_total"), len(sent.answered)
    print(
        f"{case.name}: killed {kills} times: {answered} answered, {sent.failed} failed, {answered - total:.0f} missing "
        f"of {may_miss} in the last seconds, {scraper.scrapes} scrapes, {len(scraper.fell)} falls"
    )
    assert scraper.fell == []
    assert answered - may_miss <= total <= answered + sent.failed
    assert page.total("order_size_count") == total


def settled(service):
    """The page once nothing changes any more: every worker has published."""
    pages = [service.metrics()]

    def same() -> bool:
        time.sleep(1.2)
        pages.append(service.metrics())
        return pages[-1].total("orders_total") == pages[-2].total("orders_total")

    until(same, "the totals rest")
    return pages[-1]
