import signal

import pytest

from harness import promtool_check, until

pytestmark = pytest.mark.e2e
COMMAND = "uvicorn asgi_example:app --port {port} --log-level warning"


@pytest.fixture
def greeter(serve):
    return serve(COMMAND)


def test_requests_are_counted_by_template(greeter):
    for name in ("ada", "grace", "edsger"):
        assert greeter.get(f"/greet/{name}").text == f"hello {name}\n"
    assert greeter.get("/nowhere/at/all").status_code == 404
    assert greeter.get("/greet/nobody").status_code == 500

    page = greeter.metrics()
    count = "http_server_request_duration_seconds_count"
    assert page.total(count, http_route="/greet/{name}", http_response_status_code="200") == 3
    assert page.total(count, http_response_status_code="500", error_type="ValueError") == 1
    assert page.total("greetings_total", language="en") == 3
    assert set(page.values(count, "http_route")) == {"/greet/{name}", "_unmatched"}
    assert page.total("http_server_active_requests") == 0


def test_the_entries_of_a_request_share_its_ids(greeter):
    trace = "0af7651916cd43dd8448eb211c80319c"
    response = greeter.get(
        "/greet/ada", x_request_id="order-7", traceparent=f"00-{trace}-b7ad6b7169203331-01"
    )
    assert response.headers["x-request-id"] == "order-7"
    [entry] = until(lambda: greeter.logs(logger="greeter"), "the entry is stored")
    assert entry["attributes"] == {"guest": "ada", "request_id": "order-7"}
    assert entry["trace_id"] == trace
    assert greeter.logs(trace_id=trace)[0]["cursor"] == entry["cursor"]


def test_a_real_prometheus_sees_what_was_sent(greeter, scraped):
    for _ in range(7):
        greeter.get("/greet/ada")
    prometheus = scraped(greeter)
    prometheus.wait_for("greetings_total", 7)
    prometheus.wait_for('http_server_request_duration_seconds_count{http_route="/greet/{name}"}', 7)
    greeter.get("/greet/ada")
    prometheus.wait_for("greetings_total", 8)
    [target] = prometheus.targets()
    assert (target["health"], target["lastError"]) == ("up", "")


def test_promtool_has_no_complaint(greeter):
    greeter.get("/greet/ada")
    assert promtool_check(greeter.exposition()) == ""


def test_a_restarted_service_still_has_its_logs_and_prometheus_sees_a_reset(serve, scraped):
    first = serve(COMMAND)
    for _ in range(5):
        first.get("/greet/ada")
    prometheus = scraped(first)
    prometheus.wait_for("greetings_total", 5)
    first.server.stop()

    second = serve(COMMAND, port=first.server.port)
    assert [line["attributes"]["guest"] for line in second.logs(logger="greeter")] == ["ada"] * 5
    second.get("/greet/ada")
    second.get("/greet/ada")
    prometheus.wait_for("greetings_total", 2)
    assert prometheus.value("resets(greetings_total[2m])") == 1
    # What came before the first scrape is unknown to it; it extrapolates towards the ends of the window.
    assert 2 <= prometheus.value("increase(greetings_total[2m])") < 4


@pytest.mark.parametrize("end", ["SIGTERM", "ctrl-C"])
def test_nothing_that_was_logged_is_lost_at_the_end(serve, end):
    first = serve(COMMAND)
    for number in range(50):
        first.get(f"/greet/g{number}")
    first.server.stop(signal.SIGTERM) if end == "SIGTERM" else first.server.interrupt()
    second = serve(COMMAND)
    guests = [line["attributes"]["guest"] for line in second.logs(logger="greeter")]
    assert guests == [f"g{number}" for number in range(50)]


def test_kill_9_loses_at_most_a_flush_interval(serve):
    first = serve(COMMAND)
    first.get("/greet/early")
    until(lambda: first.logs(logger="greeter"), "the entry is stored", deadline=5)
    first.get("/greet/late")
    first.server.kill()
    second = serve(COMMAND)
    guests = [line["attributes"]["guest"] for line in second.logs(logger="greeter")]
    assert guests in (["early"], ["early", "late"])
