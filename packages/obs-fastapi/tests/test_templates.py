"""Route templates on the FastAPI that is installed; the matrix runs this on 0.115 and on the newest."""

import warnings

import httpx
import pytest
import pytest_asyncio
from fastapi import APIRouter, FastAPI, HTTPException
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route

from obs_core import MemoryStorage
from obs_core.encoders import parse_series_key
from obs_fastapi import observe
from obs_runtime import EmbeddedRuntime

pytestmark = pytest.mark.integration


async def raw(scope, receive, send):
    await PlainTextResponse("raw")(scope, receive, send)


async def plain(request):
    return PlainTextResponse("plain")


def shop() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    @app.get("/again")
    async def index(): ...

    @app.get("/orders/{order_id}")
    async def order(order_id: int): ...

    @app.get("/fail")
    async def fail():
        raise LookupError

    @app.get("/refuse")
    async def refuse():
        raise HTTPException(418)

    inner, outer, twice = APIRouter(prefix="/inner/{part}"), APIRouter(prefix="/outer"), APIRouter()

    @inner.get("/leaf/{leaf}")
    async def leaf(part: str, leaf: str): ...

    @twice.get("/item/{item}")
    async def item(item: str): ...

    twice.add_route("/starlette/{name}", plain)
    outer.include_router(inner, prefix="/between")
    app.include_router(outer, prefix="/api")
    app.include_router(twice, prefix="/v1")
    app.include_router(twice, prefix="/v2/{zone}")

    tenant = FastAPI()
    tenant.include_router(outer)

    @tenant.get("/users/{user}")
    async def user(user: str): ...

    deep = FastAPI()
    deep.mount("/tenant/{name}", tenant)
    app.mount("/t/{tenant}", tenant)
    app.mount("/again/{tenant}", tenant)
    app.mount("/deep", deep)
    app.mount("/raw", raw)
    app.mount(
        "/starlette",
        Starlette(routes=[Route("/a/{b:int}", plain), Mount("/below", routes=[Route("/c", plain)])]),
    )
    app.add_route("/plain/{name:path}", plain)
    app.router.routes.append(Host("api.example", app=tenant))
    app.mount("/last", FastAPI())
    return app


TEMPLATES = [
    ("/", "/"),
    ("/again", "/again"),
    ("/orders/7", "/orders/{order_id}"),
    ("/orders/seven", "/orders/{order_id}"),
    ("/fail", "/fail"),
    ("/refuse", "/refuse"),
    ("/api/outer/between/inner/x/leaf/y", "/api/outer/between/inner/{part}/leaf/{leaf}"),
    ("/v2/eu/starlette/y", "/v2/{zone}/starlette/{name}"),
    ("/v1/item/1", "/v1/item/{item}"),
    ("/v2/eu/item/1", "/v2/{zone}/item/{item}"),
    ("/t/acme/users/1", "/t/{tenant}/users/{user}"),
    ("/t/acme/outer/between/inner/x/leaf/y", "/t/{tenant}/outer/between/inner/{part}/leaf/{leaf}"),
    ("/again/acme/users/1", "/again/{tenant}/users/{user}"),
    ("/deep/tenant/acme/users/1", "/deep/tenant/{name}/users/{user}"),
    ("/t/acme/docs", "/t/{tenant}/docs"),
    ("/raw/anything/at/all", "/raw"),
    ("/starlette/a/1", "/starlette/a/{b}"),
    ("/starlette/below/c", "/starlette/below/c"),
    ("/plain/a/b/c", "/plain/{name}"),
    ("/docs", "/docs"),
    ("/openapi.json", "/openapi.json"),
    ("/nowhere", "_unmatched"),
    ("/t/acme/nowhere", "_unmatched"),
    ("/deep/tenant/acme/nowhere", "_unmatched"),
    ("/starlette/nowhere", "_unmatched"),
    ("/last/nowhere", "_unmatched"),
    ("/orders/7/", "_unmatched"),
]


@pytest_asyncio.fixture
async def runtime():
    async with EmbeddedRuntime(MemoryStorage(), signals=False) as runtime:
        runtime.flush()  # the storage is open
        yield runtime


def routes(runtime) -> list[str]:
    return [
        labels["http_route"]
        for family in runtime.collect()
        for name, labels in map(parse_series_key, family.keys)
        if name == "http_server_request_duration_seconds_count"
    ]


async def asked(app, path: str, method: str = "GET", host: str = "localhost", root_path: str = "") -> int:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False, root_path=root_path)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
        return (await client.request(method, path)).status_code


@pytest.mark.parametrize(("path", "template"), TEMPLATES)
@pytest.mark.asyncio
async def test_the_template_is_whole(runtime, path, template):
    app = shop()
    observe(app, runtime, access="open")
    await asked(app, path)
    assert routes(runtime) == [template]


@pytest.mark.parametrize(("path", "template"), [("/users/1", "/users/{user}"), ("/nowhere", "_unmatched")])
@pytest.mark.asyncio
async def test_a_host_is_no_part_of_the_template(runtime, path, template):
    app = shop()
    observe(app, runtime, access="open")
    await asked(app, path, host="api.example")
    assert routes(runtime) == [template]


@pytest.mark.parametrize(("path", "template"), TEMPLATES)
@pytest.mark.asyncio
async def test_a_root_path_is_no_part_of_the_template(runtime, path, template):
    app = shop()
    observe(app, runtime, access="open")
    await asked(app, f"/behind/proxy{path}", root_path="/behind/proxy")
    assert routes(runtime) == [template]


@pytest.mark.asyncio
async def test_the_root_path_of_the_application_is_no_part_of_the_template(runtime):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the newest FastAPI advises against it
        app = FastAPI(root_path="/behind")
    app.mount("/sub/{name}", shop())
    observe(app, runtime, access="open")
    await asked(app, "/behind/sub/a/orders/1")
    assert routes(runtime) == ["/sub/{name}/orders/{order_id}"]


@pytest.mark.asyncio
async def test_another_method_has_the_route_and_405(runtime):
    app = shop()
    observe(app, runtime, access="open")
    assert await asked(app, "/orders/7", method="DELETE") == 405
    assert await asked(app, "/v1/item/7", method="DELETE") == 405
    assert await asked(app, "/t/a/users/7", method="BREW") == 405
    assert routes(runtime) == ["/orders/{order_id}", "/v1/item/{item}", "/t/{tenant}/users/{user}"]


@pytest.mark.asyncio
async def test_an_observed_application_that_is_mounted_tells_its_own_part(runtime):
    app = shop()
    observe(app, runtime, access="open")
    outer = FastAPI()
    outer.mount("/whole", app)
    assert await asked(outer, "/whole/t/acme/users/1") == 200
    assert await asked(outer, "/whole/metrics") == 200
    assert routes(runtime) == ["/t/{tenant}/users/{user}"]


@pytest.mark.asyncio
async def test_a_flood_of_tenants_leaves_the_memory_bounded(runtime):
    app = shop()
    observe(app, runtime, access="open")
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for number in range(1100):
            await client.get(f"/t/{number}/users/1")
    assert routes(runtime) == ["/t/{tenant}/users/{user}"]
    templates = app.middleware_stack._route.__self__
    assert 0 < len(templates._prefixes) <= 1024
