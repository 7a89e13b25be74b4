"""What holds for every example on every server: requests, ids, readers, parameters."""

import gzip
import json
import time
from contextlib import ExitStack
from datetime import UTC, datetime

import httpx
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from harness import CLIENT, Example, Service, promtool_check, until
from harness.examples import ALL
from harness.starting import Starter

pytestmark = pytest.mark.e2e
COUNT = "http_server_request_duration_seconds_count"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module", params=ALL, ids=lambda example: example.name)
def example(request) -> Example:
    return request.param


@pytest.fixture(scope="module")
def service(example, tmp_path_factory) -> Service:
    """Started once for the tests of one example, which send it different numbers."""
    with ExitStack() as stack:
        yield Starter(stack, tmp_path_factory.mktemp("example")).example(example)


def shown(service, example, number, **headers) -> httpx.Response:
    """Ask for the page of a number."""
    response = service.get(example.path(number), **headers)
    assert response.status_code == 200
    return response


def entry_of(service, example, number, **parameters):
    """The stored entry of a page."""
    asked = {"logger": example.logger, f"attr.{example.attribute}": number, **parameters}
    [entry] = until(lambda: service.logs(**asked), f"the entry of {number} is stored")
    return entry


def test_requests_are_counted_by_template_and_not_by_path(service, example):
    before = service.metrics().total(COUNT, http_route=example.route)
    for number in range(100, 110):
        shown(service, example, number)
    assert service.get("/nowhere/at/all").status_code == 404

    page = service.metrics()
    assert page.total(COUNT, http_route=example.route, http_response_status_code="200") == before + 10
    assert page.total(COUNT, http_route="_unmatched", http_response_status_code="404") >= 1
    assert not [route for route in page.values(COUNT, "http_route") if "10" in route or "nowhere" in route]


def test_our_own_endpoints_are_not_counted(service):
    service.metrics()
    service.logs()
    page = service.metrics()
    assert not {"/metrics", "/logs"} & set(page.values(COUNT, "http_route"))
    # Django knows only after routing that a request is for us: the scrape itself may be the one.
    assert page.total("http_server_active_requests") <= 1


def test_the_entries_of_a_request_share_its_ids(service, example):
    traceparent = f"00-{TRACE}-b7ad6b7169203331-01"
    response = shown(service, example, 7, x_request_id="order-7", traceparent=traceparent)
    assert response.headers["x-request-id"] == "order-7"
    entry = entry_of(service, example, 7, trace_id=TRACE)
    assert entry["attributes"]["request_id"] == "order-7"
    assert entry["trace_id"] == TRACE


def test_each_request_without_an_id_is_given_one(service, example):
    ids = [shown(service, example, number).headers["x-request-id"] for number in (21, 22)]
    assert ids[0] != ids[1]
    entries = [entry_of(service, example, number) for number in (21, 22)]
    assert [entry["attributes"]["request_id"] for entry in entries] == ids
    assert entries[0]["trace_id"] != entries[1]["trace_id"]


def test_an_insane_request_id_is_not_taken_over(service, example):
    assert shown(service, example, 23, x_request_id="x" * 129).headers["x-request-id"] != "x" * 129


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer wrong", "Basic d3Jvbmc6d3Jvbmc=", "Basic ???", "Digest x", "bearer \xe9"],
)
@pytest.mark.parametrize("path", ["/metrics", "/logs", "/logs?level=NOSUCH", "/logs?token=x"])
def test_without_the_token_the_answer_is_always_the_same(service, path, authorization):
    def answer(path, authorization):
        headers = {"authorization": authorization.encode("latin-1")} if authorization else {}
        response = CLIENT.get(service.server.url + path, headers=headers)
        named = ("content-type", "www-authenticate", "cache-control", "content-length")
        return response.status_code, response.content, {name: response.headers[name] for name in named}

    assert answer(path, authorization) == answer("/metrics", "")
    status, body, headers = answer(path, authorization)
    assert status == 401
    assert json.loads(body) == {"type": "about:blank", "title": "Unauthorized", "status": 401}
    assert "Bearer" in headers["www-authenticate"]


def test_the_token_is_also_taken_as_the_password_of_basic(service):
    token = service.headers["authorization"].removeprefix("Bearer ")
    assert CLIENT.get(service.server.url + "/logs", auth=("anyone", token)).status_code == 200


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("level", "LOUD"),
        ("since", "yesterday"),
        ("until", "2026-13-01T00:00:00Z"),
        ("limit", "0"),
        ("limit", "10001"),
        ("limit", "ten"),
        ("order", "sideways"),
        ("follow", "perhaps"),
        ("after", "no-cursor"),
        ("q", "x" * 257),
        ("colour", "red"),
        ("attr.", "x"),
    ],
)
def test_a_bad_parameter_is_a_problem_that_names_it(service, parameter, value):
    response = service.read("/logs", **{parameter: value})
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["parameter"] == parameter


def test_a_parameter_that_is_given_twice_is_a_problem_that_names_it(service):
    url = service.server.url + "/logs?level=INFO&level=ERROR"
    response = CLIENT.get(url, headers=service.headers)
    assert (response.status_code, response.json()["parameter"]) == (400, "level")


def test_logs_are_found_by_every_parameter(service, example):
    begun = time.time()
    for number in range(200, 205):
        shown(service, example, number)
    entry = entry_of(service, example, 204)
    mine = {"logger": example.logger, "since": begun}
    stored = [line["attributes"][example.attribute] for line in service.logs(**mine)]
    assert [int(number) for number in stored] == list(range(200, 205))
    assert entry["level"] == "INFO"
    assert service.logs(level="WARNING", **mine) == []
    assert len(service.logs(level="debug", **mine)) == 5
    assert len(service.logs(q=entry["message"].upper(), **mine)) == 5
    assert service.logs(q="no such text", **mine) == []
    assert service.logs(until=begun, **{**mine, "since": begun}) == []
    iso = datetime.fromtimestamp(begun, UTC).isoformat()
    assert len(service.logs(logger=example.logger, since=iso)) == 5
    assert len(service.logs(logger=example.logger, since="15m")) >= 5
    assert service.logs(logger=example.logger, until="15m") == []
    assert service.logs(logger=example.logger, trace_id=entry["trace_id"]) == [entry]


def test_pages_go_on_from_a_cursor_in_both_orders(service, example):
    begun = time.time()
    for number in range(300, 307):
        shown(service, example, number)
    entry_of(service, example, 306)
    mine = {"logger": example.logger, "since": begun, "limit": 3}
    whole = service.logs(**{**mine, "limit": 100})
    assert len(whole) == 7
    for order, expected in (("asc", whole), ("desc", whole[::-1])):
        pages, after = [], {}
        while page := service.logs(order=order, **mine, **after):
            pages += page
            after = {"after": page[-1]["cursor"]}
        assert pages == expected
    newest = service.logs(logger=example.logger, limit=2)
    assert newest == whole[-2:], "without since and after: the newest, the oldest of them first"


def test_head_is_the_same_without_a_body(service):
    for path in ("/metrics", "/logs"):
        got, head = service.read(path), service.read(path, method="HEAD")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]


def test_other_methods_are_refused(service):
    response = service.read("/metrics", method="POST")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")


def test_content_types_are_exact_and_nothing_is_cached(service):
    types = {"/metrics": "text/plain; version=0.0.4; charset=utf-8", "/logs": "application/x-ndjson"}
    for path, content_type in types.items():
        headers = service.read(path).headers
        assert headers["content-type"] == content_type
        assert "no-store" in headers["cache-control"]
        assert headers["x-content-type-options"] == "nosniff"


def test_metrics_are_sent_in_gzip_where_that_is_accepted(service):
    with CLIENT.stream(
        "GET",
        service.server.url + "/metrics",
        headers={**service.headers, "accept-encoding": "gzip"},
    ) as response:
        raw = b"".join(response.iter_raw())
    assert response.headers["content-encoding"] == "gzip"
    assert b"# TYPE http_server_request_duration_seconds histogram\n" in gzip.decompress(raw)


def test_both_formats_are_read_back_by_another_parser(service, example):
    shown(service, example, 401)
    plain = {family.name for family in text_string_to_metric_families(service.exposition())}
    headers = {**service.headers, "accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    response = CLIENT.get(service.server.url + "/metrics", headers=headers)
    assert response.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = {family.name: family for family in openmetrics.text_string_to_metric_families(response.text)}
    assert plain == families.keys()
    samples = families["http_server_request_duration_seconds"].samples
    assert any(sample.labels.get("http_route") == example.route for sample in samples)


def test_promtool_has_no_complaint(service, example):
    shown(service, example, 400)
    assert promtool_check(service.exposition()) == ""
