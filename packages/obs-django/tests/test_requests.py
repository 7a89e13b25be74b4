import asyncio
import gc
import json
import logging
import threading
import time
import weakref
from pathlib import Path

import pytest
from counted import active, counts, series, sizes, whole
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings

from obs_django.middleware import ObsMiddleware

pytestmark = pytest.mark.integration
PROJECT = Path(__file__).parent / "project"


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
    assert "obs: route: division by zero" in capfd.readouterr().err


def test_the_root_logger_gets_what_django_logs(runtime):
    Client().get("/hello")
    assert runtime.handler in logging.getLogger().handlers


@pytest.mark.asyncio
async def test_an_error_that_another_middleware_turned_into_an_answer_is_none(runtime, get):
    with override_settings(MIDDLEWARE=["obs_django.middleware.ObsMiddleware", "shop.middleware.forgive"]):
        assert (await get("/fail")).status_code == 200
    assert counts(runtime) == {series("/fail"): 1}


@pytest.mark.asyncio
async def test_an_exception_of_another_middleware_is_500_with_its_type(runtime, get):
    with override_settings(MIDDLEWARE=["obs_django.middleware.ObsMiddleware", "shop.middleware.break_down"]):
        response = await get("/hello")
    assert (response.status_code, len(response.headers["x-request-id"])) == (500, 32)
    assert counts(runtime) == {series(status=500, error="LookupError"): 1}


@pytest.mark.asyncio
async def test_an_asynchronous_stack_stays_on_its_thread(runtime):
    found = await AsyncClient().get("/thread")
    assert found.content == str(threading.get_ident()).encode()


def test_a_request_leaves_nothing_to_the_garbage_collector(runtime):
    middleware = ObsMiddleware(lambda request: HttpResponse("hello"))
    middleware(RequestFactory().get("/"))
    request = RequestFactory().get("/")
    dead = weakref.ref(request)
    gc.disable()
    try:
        middleware(request)
        del request
        assert dead() is None
    finally:
        gc.enable()


@pytest.mark.asyncio
async def test_the_bodies_are_measured_where_that_is_asked(runtime, get):
    stream = "/stream" if isinstance(get.client, Client) else "/stream-async"
    with override_settings(OBS={"RUNTIME": runtime, "TOKEN": "sesame", "SIZES": True}):
        for path in ("/hello", stream):
            assert (await get(path)).status_code == 200
        whole(Client().get("/file"))
        ObsMiddleware(lambda request: HttpResponse("hello"))(RequestFactory().post("/", {"a": "b"}))
    size = len((PROJECT / "shop" / "views.py").read_bytes())
    assert sizes(runtime, "response") == {"/hello": 5, stream: 6, "/file": size, "_unmatched": 5}
    assert sizes(runtime, "request")["_unmatched"] > 50
    assert sizes(runtime, "request")["/hello"] == 0


def test_bodies_are_not_measured_unless_asked(runtime):
    Client().get("/hello")
    assert sizes(runtime, "response") == {}


@pytest.mark.asyncio
async def test_the_entries_of_django_say_which_request_without_its_query(runtime, get):
    await get("/nowhere?card=1234")
    (entry,) = await entries(runtime, get, logger="django.request")
    assert entry["attributes"]["request"] == "GET /nowhere"
    assert "1234" not in json.dumps(entry)


@pytest.mark.asyncio
async def test_loggers_that_the_project_keeps_away_from_the_root_are_captured_once(runtime, get):
    logger = logging.getLogger("django.request")
    logger.propagate = False
    kept = logger.handlers[:]
    try:
        await get("/nowhere")
        await get("/nowhere")
        assert len(await entries(runtime, get, logger="django.request")) == 2
    finally:
        logger.propagate, logger.handlers = True, kept


def test_the_lag_of_the_loop_is_sampled_where_there_is_one(runtime):
    def names():
        return {family.metadata.name for family in runtime.collect()}

    Client().get("/hello")
    assert "obs_event_loop_lag_seconds" not in names()
    asyncio.run(AsyncClient().get("/hello"))
    assert "obs_event_loop_lag_seconds" in names()


@pytest.mark.asyncio
async def test_first_requests_that_come_at_once_all_wait_until_entries_are_captured(
    runtime, get, monkeypatch
):
    start = runtime.start

    def slowly():
        if not started.is_set():
            started.set()
            time.sleep(0.1)
        start()

    started = threading.Event()
    monkeypatch.setattr(runtime, "start", slowly)
    middleware = ObsMiddleware(lambda request: logging.getLogger("shop").warning("first") or HttpResponse())
    threads = [threading.Thread(target=middleware, args=[RequestFactory().get("/")]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(await entries(runtime, get, logger="shop", q="first")) == 8


def test_what_an_inner_middleware_does_when_a_stream_is_closed_is_still_done(runtime):
    closed = []

    def inner(request):
        response = StreamingHttpResponse(iter([b"hello"]))
        close = response.close
        response.close = lambda: (closed.append("inner"), close())
        return response

    response = ObsMiddleware(inner)(RequestFactory().get("/"))
    assert b"".join(response) == b"hello"
    response.close()
    assert (closed, response.closed) == (["inner"], True)
    assert counts(runtime) == {series(): 1}
