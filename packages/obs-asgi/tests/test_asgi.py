import asyncio
import json
import logging
import threading
import time

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute

from obs_asgi import ObsApp, ObsMiddleware
from obs_asgi._translate import headers_of
from obs_core import ConfigurationError, LogQuery, MemoryStorage, StorageError
from obs_core.encoders import parse_series_key
from obs_core.http import aio
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

pytestmark = pytest.mark.integration


@pytest_asyncio.fixture
async def runtime():
    async with EmbeddedRuntime(MemoryStorage(), signals=False) as runtime:
        runtime.flush()  # the storage is open
        yield runtime


def counts(runtime) -> dict[str, float]:
    return {
        key: value
        for family in runtime.collect()
        for key, value in zip(family.keys, family.values, strict=True)
        if key.startswith("http_server_request_duration_seconds_count")
    }


def series(method="GET", route="_unmatched", status=200, error="") -> str:
    return (
        f'http_server_request_duration_seconds_count{{http_request_method="{method}",http_route="{route}",'
        f'http_response_status_code="{status}",url_scheme="http",error_type="{error}"}}'
    )


async def hello(request):
    logging.getLogger("shop").warning("hello", extra={"order": 7})
    return PlainTextResponse("hello", headers={"x-request-id": "the application's"})


async def fail(request):
    raise LookupError("the host failed")


async def stream(request):
    async def chunks():
        for number in range(3):
            yield f"{number}\n"

    return StreamingResponse(chunks())


async def socket(websocket):
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


def application(runtime, **options):
    routes = [
        Route("/hello", hello),
        Route("/fail", fail),
        Route("/stream", stream),
        WebSocketRoute("/socket", socket),
        Mount("/obs", ObsApp(runtime, access="open")),
    ]
    return ObsMiddleware(Starlette(routes=routes), runtime, **options)


def client_of(app) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


@pytest.mark.asyncio
async def test_requests_are_counted_and_their_entries_share_the_context(runtime):
    async with client_of(application(runtime)) as client:
        headers = {"x-request-id": "r-1", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
        response = await client.get("/hello", headers=headers)
        assert response.headers.get_list("x-request-id") == ["r-1"]
        assert (await client.get("/nowhere")).status_code == 404
        runtime.flush()
        (line,) = (await client.get("/obs/logs?q=hello")).text.splitlines()
    entry = json.loads(line)
    assert (entry["attributes"], entry["trace_id"]) == ({"request_id": "r-1", "order": 7}, "a" * 32)
    assert counts(runtime)[series(route="/hello")] == 1
    assert counts(runtime)[series(status=404)] == 1


@pytest.mark.asyncio
async def test_an_exception_passes_on_untouched_and_is_counted_as_500(runtime):
    transport = httpx.ASGITransport(app=application(runtime))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        with pytest.raises(LookupError, match="the host failed"):
            await client.get("/fail")
    assert counts(runtime) == {series(route="/fail", status=500, error="LookupError"): 1}


@pytest.mark.asyncio
async def test_what_the_server_logs_of_an_exception_belongs_to_its_request(runtime):
    async def served(scope) -> None:
        """As uvicorn does: each request in a task of its own, whose exception is logged there."""
        try:
            await application(runtime)(scope, None, send)
        except LookupError:
            logging.getLogger("shop.server").exception("Exception in ASGI application")

    async def send(event): ...

    scope = {"type": "http", "method": "GET", "path": "/fail", "scheme": "http", "query_string": b""}
    await asyncio.create_task(served({**scope, "headers": [(b"x-request-id", b"r-1")]}))
    logging.getLogger("shop.server").warning("another task")
    runtime.flush()
    read = [stored.entry async for stored in runtime.storage.logs.read(LogQuery(logger="shop.server"))]
    assert [entry.attributes.get("request_id") for entry in read] == ["r-1", None]
    assert read[0].attributes["exception.message"] == "the host failed"
    assert read[0].trace_id


@pytest.mark.asyncio
async def test_streams_and_methods_and_routes(runtime):
    async with client_of(application(runtime, route=lambda scope: "/stream")) as client:
        assert (await client.get("/stream")).text == "0\n1\n2\n"
        await client.request("BREW", "/stream")
    assert counts(runtime)[series(route="/stream")] == 1
    assert counts(runtime)[series(method="_OTHER", route="/stream", status=405)] == 1


@pytest.mark.asyncio
async def test_a_client_that_left_is_499(runtime):
    started = asyncio.Event()

    async def slow(scope, receive, send):
        started.set()
        await asyncio.Event().wait()

    app = ObsMiddleware(slow, runtime)
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "scheme": "http",
        "headers": [],
        "query_string": b"",
    }
    task = asyncio.create_task(app(scope, None, None))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counts(runtime) == {series(status=499): 1}


@pytest.mark.asyncio
async def test_a_route_that_cannot_be_told_never_fails_the_request(runtime, capfd):
    async with client_of(application(runtime, route=lambda scope: scope["nothing"])) as client:
        assert (await client.get("/hello")).status_code == 200
    assert "obs: route: 'nothing'" in capfd.readouterr().err


@pytest.mark.asyncio
async def test_the_endpoints_answer_below_any_mount(runtime):
    runtime.registry.counter("orders", "Orders.").inc()
    async with client_of(application(runtime)) as client:
        response = await client.get("/obs/metrics")
        assert "orders_total 1" in response.text
        assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        head = await client.head("/obs/metrics")
        assert (head.status_code, head.content) == (200, b"")
        assert (await client.get("/obs/other")).status_code == 404
        assert (await client.get("/obs/logs?limit=0")).json()["parameter"] == "limit"


@pytest.mark.asyncio
async def test_our_own_endpoints_are_left_out_at_the_top(runtime):
    app = ObsMiddleware(ObsApp(runtime, access="open"), runtime)
    async with client_of(app) as client:
        assert (await client.get("/metrics")).status_code == 200
    assert counts(runtime) == {}


@pytest.mark.asyncio
async def test_lifespan_starts_and_stops_the_runtime_and_passes_through():
    runtime = EmbeddedRuntime(MemoryStorage(), signals=False)
    events = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []
    captured: list[bool] = []

    async def receive():
        captured.append(runtime.handler in logging.getLogger().handlers)
        return next(events)

    async def send(event):
        sent.append(event["type"])

    await application(runtime)({"type": "lifespan", "state": {}}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert captured == [True, True]
    assert runtime.handler not in logging.getLogger().handlers


@pytest.mark.asyncio
async def test_websockets_pass_through_untouched(runtime):
    sent: list[str] = []
    scope = {"type": "websocket", "path": "/socket", "headers": [], "query_string": b"", "subprotocols": []}

    async def receive():
        return {"type": "websocket.connect"}

    async def send(event):
        sent.append(event["type"])

    await application(runtime)(scope, receive, send)
    assert sent == ["websocket.accept", "websocket.send", "websocket.close"]
    assert counts(runtime) == {}


@pytest.mark.asyncio
async def test_a_runtime_that_cannot_start_fails_the_startup_but_no_request(runtime, capfd):
    second = EmbeddedRuntime(MemoryStorage(), registry=runtime.registry, signals=False)
    app = application(second)
    sent: list[dict] = []

    async def receive():
        return {"type": "lifespan.startup"}

    async def send(event):
        sent.append(event)

    await app({"type": "lifespan", "state": {}}, receive, send)
    assert sent[0]["type"] == "lifespan.startup.failed"
    assert "another runtime" in sent[0]["message"]
    async with client_of(app) as client:
        assert (await client.get("/hello")).status_code == 200
    assert "obs: start: another runtime" in capfd.readouterr().err


@pytest.mark.asyncio
async def test_the_endpoints_answer_before_the_application_and_paths_are_left_out(runtime):
    app = application(runtime, endpoints=ObsApp(runtime, access="open"), prefix="/in", exclude=["/hello"])
    async with client_of(app) as client:
        assert (await client.get("/in/metrics")).status_code == 200
        assert (await client.get("/metrics")).status_code == 404
        assert (await client.get("/hello", headers={"x-request-id": "r"})).headers["x-request-id"] == "r"
    assert counts(runtime) == {series(status=404): 1}


@pytest.mark.asyncio
async def test_all_that_is_below_a_prefix_is_ours_and_without_a_prefix_nothing_more(runtime, capfd):
    for prefix, ours, theirs in (
        ("/in", ("/in/", "/in/metrics", "/in/nothing", "/in/logs/x"), ("/in", "/inner", "/hello")),
        ("/", ("/metrics", "/logs/"), ("/", "/logs/x", "/hello")),
    ):
        app = application(runtime, endpoints=ObsApp(runtime, token="sesame"), prefix=prefix)
        async with client_of(app) as client:
            answers = [await client.get(path) for path in ours]
            assert {(answer.status_code, answer.content) for answer in answers} == {(401, answers[0].content)}
            assert {(await client.get(path)).status_code for path in theirs} <= {200, 404}
            missing = await client.get(ours[-2], headers={"authorization": "Bearer sesame"})
            assert missing.status_code == (404 if prefix == "/in" else 200)
    assert "cannot be reached" not in capfd.readouterr().err


@pytest.mark.asyncio
async def test_routes_that_ours_hide_are_named_once(runtime, capfd):
    inner = Starlette(routes=[Route("/page", hello)])
    routes = [Route("/logs", hello), Mount("/in", inner), Mount("/in/raw", hello), Route("/{page}", hello)]
    for prefix, hidden in (("", "/logs"), ("/in", "/in/page, /in/raw"), ("/other", "")):
        app = ObsMiddleware(
            Starlette(routes=routes), runtime, endpoints=ObsApp(runtime, access="open"), prefix=prefix
        )
        async with client_of(app) as client:
            await client.get("/x")
            await client.get("/x")
        lines = [line for line in capfd.readouterr().err.splitlines() if "cannot be reached" in line]
        assert [line.partition(" of the application")[0] for line in lines] == [f"obs: {hidden}"] * bool(
            hidden
        )


@pytest.mark.asyncio
async def test_a_token_that_cannot_be_had_lets_the_service_start_and_nobody_in(tmp_path, capfd):
    (tmp_path / "obs.db-token").mkdir()
    storage = SQLiteStorage(tmp_path / "obs.db")
    async with EmbeddedRuntime(storage, signals=False) as runtime:
        app = ObsMiddleware(Starlette(), runtime, endpoints=ObsApp(runtime))
        async with client_of(app) as client:
            assert (await client.get("/metrics")).status_code == 401
            assert (await client.get("/other")).status_code == 404
    assert "obs: access: " in capfd.readouterr().err


HTTP = {"type": "http", "method": "GET", "path": "/", "scheme": "http", "headers": [], "query_string": b""}


async def answered(app, *received: str, broken: bool = False) -> None:
    events = iter(received)

    async def receive():
        return {"type": next(events)}

    async def send(event):
        if broken:
            raise OSError("the client is gone")

    spec_version = "2.4" if broken else "2.3"  # from 2.4 on, sending to nobody raises
    await app({**HTTP, "asgi": {"version": "3.0", "spec_version": spec_version}}, receive, send)


@pytest.mark.asyncio
async def test_a_client_that_is_seen_to_leave_is_499(runtime):
    async def stream(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert (await receive())["type"] == "http.disconnect"

    async def read(scope, receive, send):
        await receive()
        raise RuntimeError("the client left")

    await answered(ObsMiddleware(stream, runtime), "http.disconnect")
    with pytest.raises(RuntimeError):
        await answered(ObsMiddleware(read, runtime), "http.disconnect")
    with pytest.raises(OSError, match="gone"):
        await answered(ObsMiddleware(stream, runtime), broken=True)
    assert counts(runtime) == {series(status=499): 3}


@pytest.mark.asyncio
async def test_an_application_that_answers_nothing_is_500(runtime):
    async def silent(scope, receive, send): ...

    await answered(ObsMiddleware(silent, runtime))
    assert counts(runtime) == {series(status=500, error="500"): 1}


@pytest.mark.asyncio
async def test_who_leaves_after_the_end_has_had_the_answer(runtime):
    async def patient(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        await receive()

    await answered(ObsMiddleware(patient, runtime), "http.disconnect")
    assert counts(runtime) == {series(): 1}


@pytest.mark.asyncio
async def test_sizes_are_measured_where_they_are_asked_for(runtime):
    async def echo(request):
        return PlainTextResponse(2 * await request.body())

    async def deaf(request):
        return PlainTextResponse(b"")

    routes = [Route("/echo", echo, methods=["POST"]), Route("/deaf", deaf, methods=["POST"])]
    async with client_of(ObsMiddleware(Starlette(routes=routes), runtime, sizes=True)) as client:
        await client.post("/echo", content=b"x" * 50)
        await client.post("/deaf", content=b"x" * 7000)
    sizes = {
        (name, labels["http_route"]): value
        for family in runtime.collect()
        for key, value in zip(family.keys, family.values, strict=True)
        for name, labels in (parse_series_key(key),)
        if name.endswith("_body_size_bytes_sum")
    }
    assert sizes == {
        ("http_server_request_body_size_bytes_sum", "/echo"): 50,
        ("http_server_response_body_size_bytes_sum", "/echo"): 100,
        ("http_server_request_body_size_bytes_sum", "/deaf"): 7000,
        ("http_server_response_body_size_bytes_sum", "/deaf"): 0,
    }


@pytest.mark.asyncio
async def test_the_lag_of_the_event_loop_is_sampled(runtime):
    async with client_of(application(runtime)) as client:
        await client.get("/hello")
    lags = (family for family in runtime.collect() if family.metadata.name == "obs_event_loop_lag_seconds")
    async with asyncio.timeout(10):
        while not next(lags).values[-1]:
            await asyncio.sleep(0.05)
            lags = (one for one in runtime.collect() if one.metadata.name == "obs_event_loop_lag_seconds")


@pytest.mark.asyncio
async def test_headers_of_an_application_may_be_an_iterator(runtime):
    sent: list[list[tuple[bytes, bytes]]] = []

    async def app(scope, receive, send):
        names = [b"content-type", b"X-Request-ID", b"set-cookie"]
        headers = zip(names, [b"text/plain", b"theirs", b"a=b"], strict=True)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def send(event):
        if event["type"] == "http.response.start":
            sent.append(event["headers"])

    scope = {"type": "http", "method": "GET", "path": "/", "scheme": "http", "query_string": b""}
    await ObsMiddleware(app, runtime)({**scope, "headers": [(b"x-request-id", b"r-1")]}, None, send)
    assert sent == [[(b"content-type", b"text/plain"), (b"set-cookie", b"a=b"), (b"x-request-id", b"r-1")]]


@pytest.mark.parametrize("sizes", [False, True])
@pytest.mark.asyncio
async def test_a_scope_without_what_may_be_left_out_is_a_request_like_any_other(runtime, sizes):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(event):
        pass

    await ObsMiddleware(app, runtime, sizes=sizes)({"type": "http", "method": "GET", "path": "/"}, None, send)
    assert counts(runtime) == {series(status=204): 1}


@pytest.mark.asyncio
async def test_our_pages_need_no_more_of_a_scope_than_the_specification(runtime):
    sent = []

    async def send(event):
        sent.append(event)

    await ObsApp(runtime, access="open")({"type": "http", "method": "GET", "path": "/metrics"}, None, send)
    assert sent[0]["status"] == 200


def test_headers_that_are_given_many_times_are_joined_in_a_time_that_grows_with_their_number():
    raw = [(b"a", b"x" * 50)] * 50_000 + [(b"Host", b"obs.test")]
    begun = time.process_time()
    headers = headers_of(raw)
    assert time.process_time() - begun < 5  # a text that grows with each took over 10 s
    assert (len(headers["a"]), headers["host"]) == (50_000 * 52 - 2, "obs.test")


@pytest.mark.asyncio
async def test_a_runtime_that_does_not_start_is_asked_once_a_minute_and_fails_no_request(
    runtime, monkeypatch
):
    asked = []

    def start():
        asked.append(1)
        raise StorageError("no such folder")

    monkeypatch.setattr(runtime, "start", start)
    app = Starlette(routes=[Mount("/obs", ObsApp(runtime, access="open"))])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://obs.test") as client:
        for _ in range(3):
            assert (await client.get("/obs/nothing")).status_code == 404
    assert len(asked) == 1


@pytest.mark.asyncio
async def test_a_scrape_that_hangs_keeps_neither_the_loop_nor_the_requests(runtime, monkeypatch, capfd):
    going_on = threading.Event()
    collect = runtime.collect
    monkeypatch.setattr(runtime, "collect", lambda: going_on.wait(20) and collect())
    monkeypatch.setattr(aio, "SCRAPE_SECONDS", 0.05)
    async with client_of(application(runtime)) as client:
        for _ in range(6):
            assert (await client.get("/obs/metrics")).status_code == 503
        assert (await client.get("/hello")).status_code == 200
        going_on.set()
        monkeypatch.setattr(aio, "SCRAPE_SECONDS", 5.0)
        statuses = []
        for _ in range(500):
            statuses.append((await client.get("/obs/metrics")).status_code)
            if statuses[-1] == 200:
                break
            await asyncio.sleep(0.01)
    assert statuses[-1] == 200
    assert "obs: metrics" in capfd.readouterr().err


@pytest.mark.asyncio
async def test_a_client_that_left_before_the_first_byte_gives_its_place_back(runtime):
    async def send(event):
        raise OSError("gone")

    app = ObsApp(runtime, access="open", stream_life=0.1)
    scope = {"type": "http", "method": "GET", "path": "/logs", "headers": [], "client": None}
    kept = []  # a traceback keeps its frames, and with them what was not closed
    for _ in range(20):
        with pytest.raises(OSError, match="gone") as left:
            await app({**scope, "query_string": b"follow=true"}, None, send)
        kept.append(left)
    async with client_of(app) as client:
        assert (await client.get("/logs?follow=true")).status_code == 200


@pytest.mark.asyncio
async def test_a_stream_whose_connection_is_closed_ends_though_nobody_tells_it(runtime):
    class Cycle:
        """As uvicorn's: of pipelined requests it tells the last one alone that the client left."""

        def __init__(self) -> None:
            self.transport = self
            self.closing = False

        def is_closing(self) -> bool:
            return self.closing

        def abort(self) -> None: ...

        async def send(self, event):
            self.closing = event["type"] == "http.response.start"

        async def receive(self):
            await asyncio.Event().wait()

    cycle = Cycle()
    scope = {"type": "http", "method": "GET", "path": "/logs", "headers": [], "client": None}
    async with asyncio.timeout(20):  # far less than the life of a stream
        await ObsApp(runtime, access="open")(
            {**scope, "query_string": b"follow=true"}, cycle.receive, cycle.send
        )


@pytest.mark.parametrize(
    "options", [{"prefix": "internal"}, {"prefix": 3}, {"exclude": "/health"}, {"exclude": ("health",)}]
)
def test_paths_that_can_be_no_paths_are_refused_at_once(runtime, options):
    with pytest.raises(ConfigurationError, match=r"slash|list of paths|is a path"):
        ObsMiddleware(Starlette(), runtime, **options)
