"""Other ASGI frameworks, with the endpoints mounted below a path."""

import pytest

from harness import EXAMPLES, promtool_check, until

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("framework", ["starlette", "litestar", "quart"])
def test_a_framework_is_wrapped_and_has_the_endpoints_mounted(start, framework):
    command = f"uvicorn {framework}_app:app --port {{port}} --log-level warning"
    service = start.command(command, cwd=EXAMPLES / "frameworks", prefix="/obs")
    response = service.get("/hello/ada", x_request_id="r1")
    assert (response.status_code, response.text) == (200, "hello\n")
    assert response.headers["x-request-id"] == "r1"
    [entry] = until(lambda: service.logs(logger="hello"), "the entry is stored")
    assert entry["attributes"] == {"guest": "ada", "request_id": "r1"}
    page = service.metrics()
    assert page.total("http_server_request_duration_seconds_count", http_response_status_code="200") >= 1
    assert promtool_check(service.exposition()) == ""
    assert service.get("/obs/metrics").status_code == 401
