# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "fastapi",
#     "prometheus-fastapi-instrumentator",
#     "starlette_exporter",
#     "opentelemetry-sdk",
#     "opentelemetry-instrumentation-fastapi",
# ]
# ///
"""What a request costs more with us, and with each peer: `python3 tools/dev.py bench obs-fastapi`.

One application of each kind, the same route, called without a server: what is measured is the middleware. The
rounds are interleaved, and each figure is the median over the rounds of the difference to the bare application.
Around FastAPI a middleware finds the processor's caches full of FastAPI; around an application that answers at once it
finds its own there, and only its instructions are paid for.
"""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from statistics import median
from time import perf_counter
from typing import Any

from fastapi import APIRouter, FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry
from prometheus_fastapi_instrumentator import Instrumentator
from shared.side_by_side import named, over, rows, title
from shared.side_by_side import seconds as shown
from starlette_exporter import PrometheusMiddleware

from obs_asgi import ObsMiddleware
from obs_core import MemoryStorage
from obs_fastapi import observe
from obs_runtime import EmbeddedRuntime

ROUNDS = 101
REQUESTS = 200
HEADERS = [
    (b"host", b"127.0.0.1:8000"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    (b"accept", b"*/*"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"connection", b"keep-alive"),
]


def application() -> FastAPI:
    app, router = FastAPI(), APIRouter(prefix="/orders")

    @router.get("/{order_id}")
    async def order(order_id: int) -> dict[str, int]:
        return {"order": order_id}

    app.include_router(router)
    return app


def ours() -> FastAPI:
    app = application()
    runtime = EmbeddedRuntime(MemoryStorage(), signals=False)
    observe(app, runtime, access="open")
    return app


def instrumentator() -> FastAPI:
    app = application()
    Instrumentator(registry=CollectorRegistry()).instrument(app)
    return app


def exporter() -> FastAPI:
    app = application()
    app.add_middleware(PrometheusMiddleware)
    return app


def opentelemetry() -> FastAPI:
    app = application()
    FastAPIInstrumentor.instrument_app(app, meter_provider=MeterProvider([InMemoryMetricReader()]))
    return app


async def receive() -> dict[str, object]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(event: object) -> None: ...


def scope(number: int) -> dict[str, object]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": f"/orders/{number}",
        "raw_path": b"/orders/1",
        "query_string": b"",
        "headers": list(HEADERS),
        "state": {},
    }


async def at_once(_scope: Any, _receive: Any, send: Any) -> None:
    """An application that answers, and does nothing else."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def seconds(app: Callable[[Any, Any, Any], Awaitable[None]]) -> float:
    scopes = [scope(number) for number in range(REQUESTS)]
    gc.disable()
    begun = perf_counter()
    for one in scopes:
        await app(one, receive, send)
    spent = perf_counter() - begun
    gc.enable()
    return spent / REQUESTS


async def measured(apps: dict[str, Any]) -> dict[str, list[float]]:
    """The seconds that a request takes, round by round."""
    for app in apps.values():
        await seconds(app)
    figures: dict[str, list[float]] = {name: [] for name in apps}
    for number in range(ROUNDS):
        # Each begins in turn: who comes after a large one finds the caches cold.
        for name in list(apps)[number % len(apps) :] + list(apps)[: number % len(apps)]:
            figures[name].append(await seconds(apps[name]))
    return figures


def show(what: str, figures: dict[str, list[float]], budget: str, us: str) -> None:
    rows(what, over(figures, "bare"), budget, us)
    print(f"{'':44} {'a whole request without':40} {shown(median(figures['bare'])):>10}")


async def main() -> None:
    title(
        f"Request middleware, fastapi {version('fastapi')}, over the bare application", "obs-fastapi", ROUNDS
    )
    us = named("obs-fastapi")
    peers = {
        us: ours,
        named("prometheus-fastapi-instrumentator"): instrumentator,
        named("starlette_exporter"): exporter,
        named("opentelemetry-instrumentation-fastapi"): opentelemetry,
    }
    apps = {"bare": application(), **{name: make() for name, make in peers.items()}}
    budget = "budget: at most 3 us, a tenth of the best peer"
    show("a request in FastAPI", await measured(apps), budget, us)
    watched = ObsMiddleware(at_once, EmbeddedRuntime(MemoryStorage(), signals=False))
    figures = await measured({"bare": at_once, us: watched})
    show("around what answers at once", figures, "budget: at most 3 us", us)


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # a peer warns of a route it does not know
    asyncio.run(main())
