import json
import logging
from pathlib import Path

import pytest
from django.http import FileResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings

from obs_django.middleware import ObsMiddleware

pytestmark = pytest.mark.integration
NAME = "http_server_request_duration_seconds_count"


def counts(runtime) -> dict[str, float]:
    return {
        key.removeprefix(NAME): value
        for family in runtime.collect()
        for key, value in zip(family.keys, family.values, strict=True)
        if key.startswith(NAME)
    }


def active(runtime) -> float:
    (family,) = [one for one in runtime.collect() if one.metadata.name == "http_server_active_requests"]
    return sum(family.values)


def series(route="_unmatched", status=200, error="", method="GET") -> str:
    return (
        f'{{http_request_method="{method}",http_route="{route}",http_response_status_code="{status}",'
        f'url_scheme="http",error_type="{error}"}}'
    )


async def entries(runtime, get, **query) -> list[dict]:
    runtime.flush()
    found = await get("/obs/logs", query_params=query, headers={"authorization": "Bearer sesame"})
    return [json.loads(line) for line in found.body.splitlines()]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/hello", "/hello"),
        ("/hello-async", "/hello-async"),
        ("/orders/7", "/orders/<int:order_id>"),
        ("/shop/acme/items/tea", "/shop/<slug:tenant>/items/<slug:item>"),
        ("/shop/acme/old/1999/", "/shop/<slug:tenant>/old/<year>/page-<var>/"),
        ("/legacy/items/tea", "/legacy/items/<slug:item>"),
    ],
)
async def test_the_route_is_the_whole_template(runtime, get, path, route):
    assert (await get(path)).status_code == 200
    assert counts(runtime) == {series(route): 1}
    assert active(runtime) == 0


@pytest.mark.asyncio
async def test_an_unmatched_path_is_one_value_and_a_404_of_a_view_keeps_its_route(runtime, get):
    for path in ("/nowhere", "/other", "/missing/1", "/missing/2"):
        assert (await get(path)).status_code == 404
    assert counts(runtime) == {series(status=404): 2, series("/missing/<int:order_id>", 404): 2}


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["/fail", "/fail-async"])
async def test_an_exception_is_500_with_its_type_and_its_entry_has_the_context(runtime, get, path):
    response = await get(path, headers={"x-request-id": "r-1"})
    assert (response.status_code, response.headers["x-request-id"]) == (500, "r-1")
    assert counts(runtime) == {series(path, 500, "LookupError"): 1}
    (entry,) = await entries(runtime, get, logger="django.request")
    assert (entry["level"], entry["attributes"]["request_id"]) == ("ERROR", "r-1")
    assert entry["attributes"]["exception.type"] == "LookupError"


@pytest.mark.asyncio
async def test_an_answer_of_500_without_an_exception_names_its_status(runtime, get):
    assert (await get("/broken")).status_code == 503
    assert counts(runtime) == {series("/broken", 503, "503"): 1}


@pytest.mark.asyncio
async def test_an_exception_that_django_lets_through_passes_on_untouched(runtime, get):
    with override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True), pytest.raises(LookupError, match="host failed"):
        await get("/fail")
    assert counts(runtime) == {series("/fail", 500, "LookupError"): 1}


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["/hello", "/hello-async"])
async def test_the_entries_of_a_request_share_its_context(runtime, get, path):
    headers = {"x-request-id": "r-1", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    response = await get(path, headers=headers)
    assert response.headers["x-request-id"] == "r-1"
    (entry,) = await entries(runtime, get, q="hello")
    assert entry["trace_id"] == "a" * 32
    assert entry["attributes"] == {"request_id": "r-1", "order": 7}


@pytest.mark.asyncio
@pytest.mark.parametrize("given", ["", "two words", "x" * 129, "é"])
async def test_a_request_id_that_is_not_sane_is_replaced(runtime, get, given):
    found = (await get("/hello", headers={"x-request-id": given})).headers["x-request-id"]
    assert len(found) == 32
    assert found != given


@pytest.mark.asyncio
async def test_djangos_own_entry_of_a_404_has_the_context_and_comes_once(runtime, get):
    await get("/nowhere", headers={"x-request-id": "r-1"})
    (entry,) = await entries(runtime, get, logger="django")
    assert entry["message"] == "Not Found: /nowhere"
    assert (entry["level"], entry["attributes"]["request_id"]) == ("WARNING", "r-1")


@pytest.mark.asyncio
async def test_a_stream_ends_at_its_last_body_and_its_entries_have_the_context(runtime, get):
    path = "/stream" if isinstance(get.client, Client) else "/stream-async"
    assert (await get(path, headers={"x-request-id": "r-1"})).body == b"0\n1\n2\n"
    assert counts(runtime) == {series(path): 1}
    found = await entries(runtime, get, q="chunk")
    assert [(one["attributes"]["number"], one["attributes"]["request_id"]) for one in found] == [
        (number, "r-1") for number in range(3)
    ]
    assert active(runtime) == 0


@pytest.mark.asyncio
async def test_a_stream_is_counted_when_it_is_closed_and_not_before(runtime):
    response = await AsyncClient().get("/stream-async")
    chunks = aiter(response)
    await anext(chunks)
    assert (counts(runtime), active(runtime)) == ({}, 1)
    await chunks.aclose()
    response.close()
    response.close()
    assert (counts(runtime), active(runtime)) == ({series("/stream-async", 499): 1}, 0)


def test_a_stream_that_fails_is_500_with_its_type_and_fails_as_before(runtime):
    response = Client().get("/stream-fails")
    with pytest.raises(LookupError, match="the host failed"):
        list(response)
    response.close()
    assert counts(runtime) == {series("/stream-fails", 500, "LookupError"): 1}


def test_a_file_is_still_sent_by_the_server_and_counted_when_it_is_closed(runtime):
    content = Path(__file__).open("rb")  # noqa: SIM115  # the response closes it
    response = ObsMiddleware(lambda request: FileResponse(content))(RequestFactory().get("/file"))
    assert response.file_to_stream is not None
    assert counts(runtime) == {}
    response.close()
    assert counts(runtime) == {series(): 1}


@pytest.mark.asyncio
async def test_methods_outside_the_standard_are_one_value(runtime):
    await AsyncClient().generic("BREW", "/hello")
    assert counts(runtime) == {series("/hello", method="_OTHER"): 1}


@pytest.mark.asyncio
async def test_our_own_endpoints_and_excluded_paths_are_left_out(runtime, get):
    with override_settings(OBS={"RUNTIME": runtime, "TOKEN": "sesame", "EXCLUDE": ["/hello"]}):
        for path in ("/hello", "/obs/metrics", "/obs/logs"):
            assert "x-request-id" in (await get(path)).headers
    assert counts(runtime) == {}
    assert active(runtime) == 0


@pytest.mark.asyncio
async def test_the_script_name_is_no_part_of_the_route(runtime):
    assert Client().get("/hello", SCRIPT_NAME="/mounted").status_code == 200
    assert counts(runtime) == {series("/hello"): 1}


@pytest.mark.asyncio
async def test_a_failure_of_ours_never_fails_the_request(runtime, get, monkeypatch, capfd):
    monkeypatch.setattr("obs_django._exchange.template", lambda route: 1 / 0)
    assert (await get("/hello")).status_code == 200
    assert "count a request" in capfd.readouterr().err


def test_the_root_logger_gets_what_django_logs(runtime):
    Client().get("/hello")
    assert runtime.handler in logging.getLogger().handlers
