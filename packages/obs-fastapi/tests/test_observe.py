import json
import logging
from contextlib import asynccontextmanager

import httpx
import pytest
import pytest_asyncio
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse

from obs_asgi import ObsMiddleware
from obs_core import ConfigurationError, LogQuery, MemoryStorage
from obs_core.encoders import parse_series_key
from obs_fastapi import create_router, observe
from obs_runtime import EmbeddedRuntime

pytestmark = pytest.mark.integration


@pytest_asyncio.fixture
async def runtime():
    async with EmbeddedRuntime(MemoryStorage(), signals=False) as runtime:
        runtime.flush()  # the storage is open
        yield runtime


def client_of(app, client=("127.0.0.1", 1)) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False, client=client)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


def requests(runtime) -> dict[tuple[str, str, str], float]:
    return {
        (labels["http_route"], labels["http_response_status_code"], labels["error_type"]): value
        for family in runtime.collect()
        for key, value in zip(family.keys, family.values, strict=True)
        for name, labels in (parse_series_key(key),)
        if name == "http_server_request_duration_seconds_count"
    }


async def lived(app) -> list[str]:
    """The events that an application sends in one life."""
    events = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive():
        return next(events)

    async def send(event):
        sent.append(event["type"])

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    return sent


@pytest.mark.asyncio
async def test_one_line_gives_metrics_logs_and_context(runtime):
    app = FastAPI()
    observe(app, runtime, token="secret")
    runtime.registry.counter("orders_total", "Orders placed.", labels=("plan",)).labels("pro").inc()

    @app.get("/orders/{order_id}")
    async def order(order_id: int):
        logging.getLogger("shop").warning("paid", extra={"order": order_id})

    async with client_of(app) as client:
        trace = "a" * 32
        response = await client.get(
            "/orders/7?card=1234", headers={"traceparent": f"00-{trace}-{'b' * 16}-01"}
        )
        client.headers["authorization"] = "Bearer secret"
        metrics = await client.get("/metrics")
        runtime.flush()
        (line,) = (await client.get("/logs?q=PAID&attr.order=7")).text.splitlines()
    entry = json.loads(line)
    assert 'orders_total{plan="pro"} 1' in metrics.text
    assert 'http_route="/orders/{order_id}"' in metrics.text
    assert entry["attributes"] == {"request_id": response.headers["x-request-id"], "order": 7}
    assert (entry["trace_id"], entry["level"], entry["logger"]) == (trace, "WARNING", "shop")
    assert list(requests(runtime)) == [("/orders/{order_id}", "200", "")]


@pytest.mark.asyncio
async def test_our_middleware_is_outermost_whatever_was_added_later(runtime):
    app = FastAPI()
    observe(app, runtime, access="open")

    class Closed(BaseHTTPMiddleware):
        async def dispatch(self, request, call_next):
            return PlainTextResponse("closed", 418)

    app.add_middleware(Closed)
    async with client_of(app) as client:
        response = await client.get("/anything")
        assert (response.status_code, len(response.headers["x-request-id"])) == (418, 32)
        assert (await client.get("/metrics")).status_code == 200
    assert requests(runtime) == {("_unmatched", "418", ""): 1}


@pytest.mark.asyncio
async def test_error_answers_have_the_request_id_too(runtime):
    app = FastAPI()
    observe(app, runtime, access="open")

    @app.get("/fail")
    async def fail():
        raise LookupError("gone")

    @app.get("/number/{number}")
    async def number(number: int): ...

    async with client_of(app) as client:
        for path, status in (("/fail", 500), ("/number/x", 422), ("/nowhere", 404), ("/number/1/", 307)):
            response = await client.get(path, headers={"x-request-id": "mine"})
            assert (response.status_code, response.headers.get_list("x-request-id")) == (status, ["mine"])
    assert requests(runtime)["/fail", "500", "LookupError"] == 1


@pytest.mark.asyncio
async def test_our_paths_are_found_behind_what_catches_all(runtime):
    async def swallow(scope, receive, send):
        await PlainTextResponse("swallowed")(scope, receive, send)

    before, after = FastAPI(), FastAPI()
    before.mount("/", swallow)
    observe(before, runtime, access="open")
    observe(after, runtime, access="open", prefix="/internal/")

    @after.get("/{path:path}")
    async def everything(path: str): ...

    async with client_of(before) as client:
        assert (await client.get("/metrics")).text.startswith("# HELP")
        assert (await client.get("/logs")).headers["content-type"] == "application/x-ndjson"
        assert (await client.get("/other")).text == "swallowed"
    async with client_of(after) as client:
        assert (await client.get("/internal/metrics")).text.startswith("# HELP")
        assert (await client.get("/metrics")).text == "null"


@pytest.mark.asyncio
async def test_paths_may_be_left_out_of_the_metrics_yet_have_a_context(runtime):
    app = FastAPI()
    observe(app, runtime, access="open", exclude=["/health"])

    @app.get("/health")
    async def health(): ...

    async with client_of(app) as client:
        assert "x-request-id" in (await client.get("/health")).headers
        await client.get("/metrics")
    assert requests(runtime) == {}


@pytest.mark.parametrize("style", ["lifespan", "on_event"])
@pytest.mark.asyncio
async def test_the_runtime_starts_before_the_application_and_stops_after_it(style):
    runtime = EmbeddedRuntime(MemoryStorage(), signals=False)
    captured: list[bool] = []

    def note() -> None:
        captured.append(runtime.handler in logging.getLogger().handlers)

    @asynccontextmanager
    async def lifespan(_):
        note()
        yield
        note()

    app = FastAPI(lifespan=lifespan if style == "lifespan" else None)
    if style == "on_event":
        app.router.on_startup.append(note)
        app.router.on_shutdown.append(note)
    observe(app, runtime, access="open")
    assert await lived(app) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert captured == [True, True]
    assert runtime.handler not in logging.getLogger().handlers
    assert await lived(app) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@pytest.mark.asyncio
async def test_a_runtime_that_cannot_start_is_a_failed_startup(runtime):
    app = FastAPI()
    observe(app, EmbeddedRuntime(MemoryStorage(), registry=runtime.registry, signals=False), access="open")
    assert await lived(app) == ["lifespan.startup.failed"]


@pytest.mark.asyncio
async def test_observe_says_when_it_cannot_work(runtime):
    app = FastAPI()
    with pytest.raises(ConfigurationError, match="OBS_TOKEN"):
        observe(app, runtime)
    observe(app, runtime, access="open")
    with pytest.raises(ConfigurationError, match="once"):
        observe(app, runtime, access="open")
    late = FastAPI()
    async with client_of(late) as client:
        await client.get("/")
    with pytest.raises(ConfigurationError, match="first request"):
        observe(late, runtime, access="open")
    with pytest.raises(ConfigurationError, match="takes a FastAPI application first"):
        observe(runtime, FastAPI())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prefix": "internal"}, 'prefix begins with a slash, as "/internal" does'),
        ({"exclude": "/health"}, r"exclude is a list of paths: \['/health'\]"),
        ({"exclude": ["health"]}, "not as 'health' does"),
    ],
)
def test_paths_that_can_be_no_paths_are_refused_at_once(runtime, options, said):
    with pytest.raises(ConfigurationError, match=said):
        observe(FastAPI(), runtime, access="open", **options)


def signed_in(request: Request) -> None:
    if not request.session.get("user"):
        raise HTTPException(status_code=403)


@pytest.mark.asyncio
async def test_a_dependency_of_the_application_decides_who_may_read(runtime, capfd):
    app = FastAPI()

    @app.get("/{path:path}")
    async def everything(path: str, request: Request):
        request.session["user"] = path

    observe(app, runtime, access=Depends(signed_in), metrics_access="open")
    app.add_middleware(SessionMiddleware, secret_key="x")
    async with client_of(app) as client:
        assert (await client.get("/metrics")).text.startswith("# HELP")
        assert (await client.get("/logs")).status_code == 403
        assert (await client.get("/sign-in")).status_code == 200
        assert (await client.get("/logs")).status_code == 200
        assert (await client.post("/logs")).status_code == 405
        assert (await client.get("/logs?limit=0")).json()["parameter"] == "limit"
    said = capfd.readouterr().err
    assert "/logs is open to whom the application's own check lets in, /metrics is open to everyone" in said
    assert list(requests(runtime)) == [("/{path}", "200", "")]


@pytest.mark.asyncio
async def test_a_function_of_the_application_decides_who_may_read(runtime):
    app = FastAPI()
    observe(app, runtime, access=lambda request: request.headers.get("x-user") == "admin")
    async with client_of(app) as client:
        assert (await client.get("/logs")).status_code == 401
        assert (await client.get("/logs", headers={"x-user": "admin"})).status_code == 200


@pytest.mark.asyncio
async def test_a_check_that_must_be_awaited_lets_nobody_in(runtime, capfd):
    async def check(request):
        return True

    app = FastAPI()
    observe(app, runtime, access=check)
    async with client_of(app) as client:
        with pytest.warns(RuntimeWarning, match="never awaited"):
            assert (await client.get("/logs")).status_code == 401
    assert "must answer True or False" in capfd.readouterr().err


@pytest.mark.asyncio
async def test_the_router_is_placed_by_the_application(runtime):
    app = FastAPI()

    app.include_router(create_router(runtime, token="secret", metrics_access="open"), prefix="/internal")
    async with client_of(app) as client:
        assert (await client.get("/internal/metrics")).status_code == 200
        assert (await client.get("/internal/logs")).status_code == 401
        answers = [await client.request(method, "/internal/logs") for method in ("POST", "DELETE", "PUT")]
        assert {answer.content for answer in answers} == {(await client.get("/internal/logs")).content}
        head = await client.head("/internal/logs", headers={"authorization": "Bearer secret"})
        assert (head.status_code, head.content) == (200, b"")
        assert "/internal/logs" not in (await client.get("/openapi.json")).text


@pytest.mark.asyncio
@pytest.mark.parametrize("guarded", ["/metrics", "/logs"])
async def test_all_below_a_prefix_of_the_router_is_ours_and_needs_its_check(runtime, guarded):
    async def check(request: Request) -> None:
        if "x-user" not in request.headers:
            raise HTTPException(status_code=403)

    app, observed = FastAPI(), FastAPI()
    own = {"access" if guarded == "/logs" else "metrics_access": Depends(check)}
    other = {"metrics_access" if guarded == "/logs" else "access": "open"}
    app.include_router(create_router(runtime, prefix="/in", **own, **other))
    observe(observed, runtime, prefix="/in", **own, **other)
    for one in (app, observed):
        one.add_api_route("/{path:path}", lambda path: path)
        async with client_of(one) as client:
            assert (await client.get("/in/nothing")).status_code == (403 if guarded == "/logs" else 404)
            known = {"x-user": "ada"}
            assert (await client.get("/in/nothing", headers=known)).status_code == 404
            for path in (guarded, f"{guarded}/"):
                assert (await client.get(f"/in{path}")).status_code == 403
                assert (await client.get(f"/in{path}", headers=known)).status_code == 200
            assert (await client.get(f"/in/x{guarded}")).status_code in (403, 404)
            assert (await client.get("/elsewhere")).json() == "elsewhere"


@pytest.mark.asyncio
async def test_the_router_starts_and_stops_the_runtime_where_nobody_else_did():
    runtime = EmbeddedRuntime(MemoryStorage(), signals=False)
    running: list[bool] = []

    @asynccontextmanager
    async def lifespan(_):
        running.append(runtime.running)
        yield
        running.append(runtime.running)

    @asynccontextmanager
    async def inner(_):
        running.append(runtime.running)
        yield

    app = FastAPI(lifespan=lifespan)
    app.include_router(create_router(runtime, access="open"))
    app.include_router(APIRouter(lifespan=inner))
    assert await lived(app) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert running == [False, True, False]


@pytest.mark.parametrize("owner", ["middleware", "lifespan"])
@pytest.mark.asyncio
async def test_the_router_stops_no_runtime_that_was_started_around_it(owner):
    storage = MemoryStorage()
    runtime = EmbeddedRuntime(storage, signals=False)

    @asynccontextmanager
    async def logging_itself(_):
        logging.getLogger("shop").warning("up")
        yield
        logging.getLogger("shop").warning("down")

    @asynccontextmanager
    async def owning(app):
        async with runtime, logging_itself(app):
            yield

    app = FastAPI(lifespan=owning if owner == "lifespan" else logging_itself)
    app.include_router(create_router(runtime, access="open"))
    if owner == "middleware":
        app.add_middleware(ObsMiddleware, runtime=runtime)
    assert await lived(app) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert not runtime.running
    async with storage:
        entries = [stored.entry async for stored in storage.logs.read(LogQuery())]
    assert [entry.message for entry in entries if entry.logger == "shop"] == ["up", "down"]
