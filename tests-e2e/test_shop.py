"""The FastAPI example as a user and a reader see it."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from harness import CLIENT, Service, until
from harness.examples import FASTAPI
from harness.starting import Starter

pytestmark = pytest.mark.e2e
COUNT = "http_server_request_duration_seconds_count"


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Service:
    with ExitStack() as stack:
        yield Starter(stack, tmp_path_factory.mktemp("shop")).example(FASTAPI)


def post(shop, path, **body) -> httpx.Response:
    return CLIENT.post(shop.server.url + path, json=body)


@pytest.fixture(scope="module")
def orders(shop) -> list[int]:
    """Ten orders that were placed."""
    return [
        post(shop, "/orders", plan="pro" if number % 2 else "free", amount=number * 10).json()["order"]
        for number in range(10)
    ]


def test_the_shop_counts_its_orders(shop, orders):
    page = shop.metrics()
    assert page.values("orders_total", "plan") == {"free": 5, "pro": 5}
    assert page.total("orders_unpaid") == 10
    assert page.total("order_amount_euros_sum") == 450
    assert page.samples['order_amount_euros_bucket{le="10.0"}'] == 2
    assert page.total("order_amount_euros_count") == 10


def test_the_fields_of_a_logging_call_are_attributes(shop, orders):
    [entry] = until(lambda: shop.logs(**{"attr.order": 3, "q": "placed"}), "the entry is stored")
    assert entry["attributes"].items() >= {"order": 3, "plan": "free", "amount": 20.0}.items()
    assert (entry["logger"], entry["level"]) == ("shop.orders", "INFO")


def test_an_exception_that_was_logged_is_structured(shop, orders):
    refused = [number for number in orders if post(shop, f"/orders/{number}/payment").status_code == 502]
    assert refused == [5, 10]
    errors = until(lambda: (found := shop.logs(level="ERROR"))[1:] and found, "the errors are stored")
    assert [entry["attributes"]["order"] for entry in errors] == refused
    attributes = errors[0]["attributes"]
    assert attributes["exception.type"] == "fastapi_example.PaymentError"
    assert attributes["exception.message"] == "no credit for order 5"
    assert attributes["exception.stacktrace"].startswith("Traceback (most recent call last):\n")
    assert "in charge" in attributes["exception.stacktrace"]
    page = shop.metrics()
    assert page.total(COUNT, http_response_status_code="502", error_type="502") == 2
    assert page.total("orders_unpaid") == 2


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/", "/"),
        ("/report?seconds=0.01", "/report"),
        ("/customers/ada/orders/7", "/customers/{customer}/orders/{order}"),
        ("/stock/items/tea", "/stock/items/{item}"),
        ("/docs", "/docs"),
    ],
)
def test_routes_are_full_templates(shop, path, route):
    before = shop.metrics().total(COUNT, http_route=route, http_response_status_code="200")
    assert shop.get(path).status_code == 200
    assert shop.metrics().total(COUNT, http_route=route, http_response_status_code="200") == before + 1


@pytest.mark.parametrize("path", ["/stock/nothing", "/wp-login.php", "/customers", "/stock/items/a/b"])
def test_paths_that_match_nothing_are_one_value(shop, path):
    before = shop.metrics().total(COUNT, http_route="_unmatched")
    assert shop.get(path).status_code == 404
    assert shop.metrics().total(COUNT, http_route="_unmatched") == before + 1


def test_a_slow_page_is_timed_and_seen_while_it_runs(shop):
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(shop.get, "/report?seconds=1.5")
        until(lambda: shop.metrics().total("http_server_active_requests") == 1, "it is worked on")
        assert answer.result(20).status_code == 200
    page = shop.metrics()
    assert page.total("http_server_active_requests") == 0
    slow = page.total("http_server_request_duration_seconds_bucket", http_route="/report", le="1.0")
    assert page.total(COUNT, http_route="/report") == slow + 1


def test_the_servers_own_lines_are_captured_without_a_query_string(shop):
    shop.get("/report?seconds=0.01&secret=x")
    lines = until(lambda: shop.logs(logger="uvicorn.access", q="/report"), "the access line is stored")
    assert "secret" not in lines[-1]["message"]


def test_a_method_that_nobody_knows_is_one_value(shop):
    shop.get("/", method="BREW")
    assert shop.metrics().total(COUNT, http_request_method="_OTHER") == 1


def test_a_stream_is_timed_to_its_end_and_a_reader_that_left_is_499(start):
    command = "uvicorn streaming:app --port {port}"
    service = start.command(command, cwd=Path(__file__).parent / "applications")
    assert len(service.get("/lines/10").text) == 50
    page = service.metrics()
    assert page.total(COUNT, http_route="/lines/{count}", http_response_status_code="200") == 1
    assert page.total("http_server_request_duration_seconds_sum", http_route="/lines/{count}") > 0.4
    with CLIENT.stream("GET", service.server.url + "/lines/1000") as response:
        assert next(response.iter_raw()) == b"line\n"
    gone = lambda: service.metrics().total(COUNT, http_response_status_code="499")  # noqa: E731
    assert until(gone, "the request is counted") == 1
    assert service.metrics().total("http_server_active_requests") == 0
