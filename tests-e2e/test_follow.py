"""The live tail of a service with many workers."""

import json
import random
import threading
import time
from datetime import datetime

import pytest

from harness import CLIENT, until
from harness.examples import DJANGO_SYNC
from harness.reader import Reader
from harness.workers import Case

pytestmark = pytest.mark.e2e
FOLLOWED = [Case("uvicorn", "", "sqlite"), Case("gunicorn-uvicorn", "", "sqlite")]
BOTH = [
    Case(server, "", "sqlite", workers) for server in ("uvicorn", "gunicorn-uvicorn") for workers in (1, 4)
]


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


def test_a_reader_that_breaks_off_a_hundred_times_loses_and_repeats_nothing(start):
    service = started(start, Case("uvicorn", "", "sqlite"))
    place(service, range(300))
    until(lambda: len(service.logs(logger="counted", limit=1000)) == 300, "the first are stored", 15)
    # Others come while the reader breaks off; it never has more than a few at once, so that it meets both.
    writer = threading.Thread(target=place, args=(service, range(300, 700)), daemon=True)
    writer.start()
    chance = random.Random(11)
    seen = service.logs(logger="counted", limit=1000)[:1]
    breaks = busy = 0
    while breaks < 100:
        lines = broken_off(service, seen[-1]["cursor"], chance.randrange(8))
        if lines is None:  # its place is given back when the server notices the end of those before
            busy += 1
            time.sleep(0.05)
            continue
        seen += lines
        breaks += 1
    writer.join(60)
    seen += service.logs(logger="counted", limit=1000, after=seen[-1]["cursor"])
    until(lambda: len(service.logs(logger="counted", limit=1000)) == 700, "all are stored", 15)
    seen += service.logs(logger="counted", limit=1000, after=seen[-1]["cursor"])
    stored = service.logs(logger="counted", limit=1000)
    assert [line["cursor"] for line in seen] == [line["cursor"] for line in stored]
    assert sorted(map(number_of, seen)) == list(range(700))
    print(f"broken off {breaks} times ({busy} times no place), {len(seen)} entries, none lost and none twice")


def broken_off(service, cursor: str, count: int) -> list[dict] | None:
    """The first lines of a stream after a cursor, which is then broken off; None where there is no place for it."""
    lines: list[dict] = []
    url = service.server.url + "/logs"
    parameters = {"follow": "true", "logger": "counted", "after": cursor}
    with CLIENT.stream("GET", url, params=parameters, headers=service.headers, timeout=20) as stream:
        if stream.status_code == 503:
            return None
        assert stream.status_code == 200
        for line in stream.iter_lines() if count else ():
            if line.strip():
                lines.append(json.loads(line))
            if len(lines) == count:
                break
    return lines


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
