"""Hypercorn and granian, with two workers: right metrics, logs that are kept, streams that end."""

import pytest

from harness import Load, until
from harness.history import stored_logs
from harness.reader import Reader
from harness.workers import OTHERS, Case
from obs_core import LogQuery

pytestmark = pytest.mark.e2e
REQUESTS = 300


@pytest.mark.parametrize("server", OTHERS)
def test_on_other_servers_totals_are_exact_and_the_end_loses_nothing(start, server):
    service = Case(server, "", "sqlite", workers=2).start(start)
    sent = Load(service, REQUESTS).finish()
    assert sent.failed == 0
    page = until(
        lambda: (now := service.metrics()).total("orders_total") == REQUESTS and now, "all are counted"
    )
    until(lambda: service.metrics().total("obs_workers") == 2, "both workers are there")
    assert page.total("order_size_count") == REQUESTS
    # Each worker answers alike, so that a total never falls.
    assert {service.metrics().total("orders_total") for _ in range(10)} == {REQUESTS}

    # Under WSGI there is no stream; hypercorn tells its workers of the end by no signal, and breaks streams off.
    ends = {"granian": "cleanly", "hypercorn": "RemoteProtocolError"}.get(server)
    reader = Reader(service) if ends else None
    if reader is not None:
        until(lambda: len(reader.lines) >= 10, "a stream is open")
    assert service.get(f"/place/{REQUESTS}?password=hunter2").status_code == 200
    seconds = service.server.stop()
    if reader is not None:
        reader.join()
        assert reader.ended.startswith(ends)
    print(f"{server}: ended {seconds:.2f} s after SIGTERM")
    # With a stream that does not end granian would never end.
    assert seconds < 5

    stored = [one.entry for one in stored_logs(start.data, LogQuery())]
    numbers = [entry.attributes["number"] for entry in stored if entry.logger == "counted"]
    assert sorted(numbers) == list(range(REQUESTS + 1))
    lines = [entry.message for entry in stored if entry.logger.endswith(".access")]
    assert any(f"/place/{REQUESTS}" in line for line in lines)
    assert not any("hunter2" in line for line in lines)
    assert service.server.output.count("obs: /logs needs the token") == 1
    assert "do not propagate" not in service.server.output
