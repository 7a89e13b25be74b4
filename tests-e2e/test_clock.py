"""The wall clock is set back a day, and on a year, while a service with two workers runs."""

import json
import threading
import time

import httpx
import pytest

from harness import CLIENT, until
from harness.clock import Clock
from harness.examples import FASTAPI
from harness.history import stored_logs
from harness.starting import Starter
from obs_core import LogQuery

pytestmark = pytest.mark.e2e
LOGGER = FASTAPI.logger
# Retention looks each 10 s; its bound is 7 days.
TWO_LOOKS = 21.0


class Follower:
    """Reads the live tail in a thread."""

    def __init__(self, service) -> None:
        self.numbers: list[int] = []
        self._service = service
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        url = self._service.server.url + "/logs"
        parameters = {"follow": "true", "logger": LOGGER}
        timeout = httpx.Timeout(20, read=60)
        with CLIENT.stream(
            "GET", url, params=parameters, headers=self._service.headers, timeout=timeout
        ) as stream:
            for line in filter(str.strip, stream.iter_lines()):
                self.numbers.append(number_of(json.loads(line)["attributes"]))


def test_history_follows_no_clock_that_is_set_back_a_day_and_on_a_year(stack, tmp_path):
    clock = Clock(tmp_path)
    start = Starter(stack, tmp_path, clock.env)
    service = start.command(f"{FASTAPI.command} --workers 2", cwd=FASTAPI.cwd)
    sent: list[int] = []

    def use(count: int) -> None:
        for _ in range(count):
            sent.append(len(sent))
            assert service.get(FASTAPI.path(sent[-1])).status_code == 200
        until(lambda: len(service.logs(logger=LOGGER)) == len(sent), f"{len(sent)} entries are stored")

    use(10)
    follower = Follower(service)
    until(lambda: sorted(follower.numbers) == sent, "the newest 10 are followed")
    cursor = service.logs(logger=LOGGER)[-1]["cursor"]
    for offset in ("-1d", "+365d", "+0"):
        clock.set(offset)
        use(10)
        if offset == "+365d":
            stamps = [line["timestamp"] for line in service.logs(logger=LOGGER)]
            assert len({stamp[:4] for stamp in stamps}) == 2, "the clock of the service was not set"
            time.sleep(TWO_LOOKS)
            assert len(service.logs(logger=LOGGER)) == len(sent), "retention believed the clock"
    until(lambda: sorted(follower.numbers) == sent, "all are followed, none lost, none twice")
    after = service.logs(logger=LOGGER, after=cursor)
    assert sorted(number_of(line["attributes"]) for line in after) == sent[10:]
    page = service.metrics()
    assert page.total("obs_workers") == 2
    assert page.total("obs_retention_deleted_total") == 0
    # No errors are not asked for: the library itself makes a sleep fail now and then (EINVAL).
    assert page.total("obs_storage_degraded") == 0
    service.server.stop()
    stored = [one.entry for one in stored_logs(start.data, LogQuery(logger=LOGGER))]
    # In the order of storing, whatever their times are.
    assert [number_of(entry.attributes) for entry in stored] == follower.numbers
    assert [entry.timestamp for entry in stored] != sorted(entry.timestamp for entry in stored)


def number_of(attributes) -> int:
    return int(attributes[FASTAPI.attribute])
