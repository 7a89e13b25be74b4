"""Route templates of plain Starlette, the oldest and the newest that the matrix installs."""

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router

from obs_asgi import ObsMiddleware, RouteTemplates
from obs_core import MemoryStorage
from obs_core.encoders import parse_series_key
from obs_runtime import EmbeddedRuntime

pytestmark = pytest.mark.integration


async def plain(request):
    return PlainTextResponse("plain")


async def fail(request):
    raise LookupError


async def raw(scope, receive, send):
    await PlainTextResponse("raw")(scope, receive, send)


def application() -> Starlette:
    # One endpoint on many paths: it alone does not tell which route was taken.
    tenant = Router([Route("/users/{user}", plain), Route("/fail/{how}", fail), Mount("/raw/{what}", raw)])
    routes = [
        Route("/", plain),
        Route("/orders/{order:int}", plain, methods=["GET"]),
        Mount("/t/{tenant}", tenant),
        Mount("/again/{tenant}", tenant),
        Mount("/deep", routes=[Mount("/{region}/x", tenant), Route("/{rest:path}", plain)]),
        Host("{zone}.api.example", Router([Mount("/{place}/in", tenant), Route("/{city}", plain)])),
        Mount("/", routes=[Route("/inside/{one}", plain), Mount("/raw", raw)]),
    ]
    return Starlette(routes=routes)


@pytest_asyncio.fixture
async def runtime():
    async with EmbeddedRuntime(MemoryStorage(), signals=False) as runtime:
        yield runtime


def routes(runtime) -> list[str]:
    return [
        labels["http_route"]
        for family in runtime.collect()
        for name, labels in map(parse_series_key, family.keys)
        if name == "http_server_request_duration_seconds_count"
    ]


async def ask(app, path: str, method: str = "GET", host: str = "localhost", root_path: str = "") -> None:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False, root_path=root_path)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
        await client.request(method, path)


@pytest.mark.parametrize("root_path", ["", "/behind"])
@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/", "/"),
        ("/orders/7", "/orders/{order}"),
        ("/t/acme/users/1", "/t/{tenant}/users/{user}"),
        ("/again/acme/users/1", "/again/{tenant}/users/{user}"),
        ("/t/acme/fail/now", "/t/{tenant}/fail/{how}"),
        ("/t/acme/raw/a/b", "/t/{tenant}/raw/{what}"),
        ("/deep/eu/x/users/1", "/deep/{region}/x/users/{user}"),
        ("/deep/anything/else", "/deep/{rest}"),
        ("/inside/1", "/inside/{one}"),
        ("/raw/file", "/raw"),
        ("/t/acme/nowhere", "_unmatched"),
        ("/nowhere", "_unmatched"),
    ],
)
@pytest.mark.asyncio
async def test_the_template_is_whole(runtime, path, template, root_path):
    app = ObsMiddleware(application(), runtime)
    await ask(app, f"{root_path}{path}", root_path=root_path)
    await ask(app, f"{root_path}{path}", root_path=root_path)  # from the cache
    assert routes(runtime) == [template]


@pytest.mark.parametrize(
    ("path", "template"), [("/here/in/users/1", "/{place}/in/users/{user}"), ("/paris", "/{city}")]
)
@pytest.mark.asyncio
async def test_a_host_is_no_part_of_the_template(runtime, path, template):
    await ask(ObsMiddleware(application(), runtime), path, host="eu.api.example")
    assert routes(runtime) == [template]


@pytest.mark.asyncio
async def test_another_method_has_the_route(runtime):
    app = Starlette(routes=[Route("/orders/{order:int}", plain, methods=["GET"])])
    await ask(ObsMiddleware(app, runtime), "/orders/7", method="PUT")
    assert routes(runtime) == ["/orders/{order}"]


@pytest.mark.asyncio
async def test_a_mount_for_everything_is_a_template(runtime):
    await ask(ObsMiddleware(Starlette(routes=[Mount("/", raw)]), runtime), "/any/thing")
    assert routes(runtime) == ["/{path}"]


@pytest.mark.asyncio
async def test_an_application_without_routes_has_one_value(runtime):
    await ask(ObsMiddleware(raw, runtime), "/any/thing")
    assert routes(runtime) == ["_unmatched"]


@pytest.mark.asyncio
async def test_a_flood_of_tenants_leaves_the_memory_bounded(runtime):
    inner = application()
    templates = RouteTemplates(lambda: inner.routes)
    transport = httpx.ASGITransport(app=ObsMiddleware(inner, runtime, route=templates))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for number in range(1100):
            await client.get(f"/t/{number}/users/1")
    assert routes(runtime) == ["/t/{tenant}/users/{user}"]
    assert len(templates._prefixes) <= 1024
