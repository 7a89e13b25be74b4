"""The live tail of a service with many workers."""

import json
import threading
import time
from contextlib import suppress
from datetime import datetime

import httpx
import pytest

from harness import CLIENT, until
from harness.examples import DJANGO_SYNC
from harness.workers import Case

pytestmark = pytest.mark.e2e
FOLLOWED = [Case("uvicorn", "", "sqlite"), Case("gunicorn-uvicorn", "", "sqlite")]
BOTH = [
    Case(server, "", "sqlite", workers) for server in ("uvicorn", "gunicorn-uvicorn") for workers in (1, 4)
]


class Reader:
    """Reads a stream in a thread: its lines, when each came, and how it ended."""

    def __init__(self, service, **parameters) -> None:
        self.lines: list[dict] = []
        self.came: list[float] = []
        self.ended = ""
        self._stopping = False
        self._service = service
        self._parameters = {"follow": "true", "logger": "counted", **parameters}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def join(self, deadline: float = 20) -> None:
        self._thread.join(deadline)
        assert not self._thread.is_alive()

    def stop(self) -> None:
        """Break off at the next line, whatever follows."""
        self._stopping = True

    def _run(self) -> None:
        url = self._service.server.url + "/logs"
        timeout = httpx.Timeout(20, read=60)
        try:
            with CLIENT.stream(
                "GET", url, params=self._parameters, headers=self._service.headers, timeout=timeout
            ) as stream:
                assert stream.status_code == 200
                for line in stream.iter_lines():
                    if line.strip():
                        self.came.append(time.time())
                        self.lines.append(json.loads(line))
                    if self._stopping:
                        self.ended = "by the reader"
                        return
            self.ended = "cleanly"
        except httpx.HTTPError as error:
            self.ended = repr(error)

    def numbers(self) -> list[int]:
        return [line["attributes"]["number"] for line in self.lines]


def started(start, case):
    """The service once each worker has its storage open: all of them say so at every request for a while."""
    service = case.start(start)
    for _ in range(8 * case.workers):
        assert service.read("/logs", limit=1).status_code == 200
    return service


def place(service, numbers) -> None:
    for number in numbers:
        assert service.get(f"/place/{number}").status_code == 200


def number_of(line) -> int:
    return line["attributes"]["number"]


@pytest.mark.parametrize("case", FOLLOWED, ids=lambda case: case.name)
def test_a_stream_has_the_entries_of_every_worker_in_the_order_of_cursors(start, case):
    service = started(start, case)
    reader = Reader(service)
    place(service, range(200))
    until(lambda: len(reader.lines) == 200, "all entries are streamed", 15)
    stored = service.logs(logger="counted", limit=1000)
    assert reader.lines == stored
    assert sorted(reader.numbers()) == list(range(200))
    late = [came - _seconds(line) for came, line in zip(reader.came, reader.lines, strict=True)]
    print(f"{case.name}: streamed after {sorted(late)[100]:.2f} s in the middle, {max(late):.2f} s at most")


def test_a_reader_that_breaks_off_goes_on_from_its_cursor(start):
    service = started(start, Case("uvicorn", "", "sqlite"))
    place(service, [0])
    until(lambda: service.logs(logger="counted"), "the first is stored")
    writer = threading.Thread(target=place, args=(service, range(1, 600)), daemon=True)
    writer.start()
    seen = service.logs(logger="counted", limit=1)
    breaks = 0
    while number_count(seen) < 600 and breaks < 200:
        reader = Reader(service, after=seen[-1]["cursor"])
        with suppress(AssertionError):
            until(lambda r=reader, n=breaks % 7: len(r.lines) > n, "some lines", 3, 0.01)
        reader.stop()
        seen += list(reader.lines)
        breaks += 1
    writer.join(60)
    stored = service.logs(logger="counted", limit=1000)
    assert [line["cursor"] for line in seen] == [line["cursor"] for line in stored]
    print(f"broken off {breaks} times, {len(seen)} entries, none lost and none twice")


def number_count(lines) -> int:
    return len({number_of(line) for line in lines})


@pytest.mark.parametrize("case", BOTH, ids=lambda case: f"{case.name}-{case.workers}")
def test_an_open_stream_does_not_hold_up_the_end(start, case):
    service = started(start, case)
    readers = [Reader(service) for _ in range(2 * case.workers)]
    place(service, range(5))
    until(lambda: all(len(reader.lines) == 5 for reader in readers), "all streams are open", 15)
    seconds = service.server.stop()
    for reader in readers:
        reader.join()
    print(f"{case.name}, {case.workers} workers: ended {seconds:.2f} s after SIGTERM, with streams open")
    assert {reader.ended for reader in readers} == {"cleanly"}
    # Without the end of streams uvicorn would wait for ever and gunicorn for 30 s; a second is promised.
    assert seconds < 5


def test_wsgi_says_to_poll_instead(start):
    service = start.example(DJANGO_SYNC)
    response = service.read("/logs", follow="true")
    assert (response.status_code, response.json()["parameter"]) == (400, "follow")
    assert "after" in response.json()["detail"]


def _seconds(line) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()
