import asyncio
import json
import logging
import sys
import threading

import pytest
from counted import counts, series
from django.http import HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import include, path, reverse

from obs_core import LogQuery, StorageError
from obs_core.http import aio
from obs_django import views

pytestmark = pytest.mark.integration
BEARER = {"authorization": "Bearer sesame"}


def asking_nobody(view):
    """As a host's own decorator is written; it asks for a header."""
    from functools import wraps

    from django.http import HttpResponseForbidden

    @wraps(view)
    async def asked(request):
        if request.headers.get("x-role") != "admin":
            return HttpResponseForbidden()
        return await view(request)

    return asked


urlpatterns = [
    path("mine/metrics", asking_nobody(views.metrics)),
    path("mine/logs", asking_nobody(views.logs)),
    path("", include("obs_django.urls")),
]


class Urls:
    """What a project may have as its ROOT_URLCONF: our URLs at a prefix, before what catches all."""

    def __init__(self, prefix):
        self.urlpatterns = [
            path(prefix, include("obs_django.urls")),
            path("<path:rest>", lambda _, rest, **__: HttpResponse(rest)),
        ]


@pytest.mark.asyncio
async def test_all_that_is_below_a_prefix_is_ours_and_without_a_prefix_nothing_more(runtime, get):
    first = await get("/obs/metrics")
    for known in ("/obs/", "/obs/nothing", "/obs/logs/x", "/obs/a%0Ab"):
        assert (found := await get(known)).status_code == 401, known
        assert (found.body, found.headers["www-authenticate"]) == (
            first.body,
            first.headers["www-authenticate"],
        )
        assert (await get(known, headers=BEARER)).status_code == 404
    assert counts(runtime) == {}
    with override_settings(ROOT_URLCONF=Urls("<slug:tenant>/obs/")):
        assert (await get("/a/obs/nothing")).status_code == 401
        assert (await get("/a/obs")).body == b"a/obs"
    with override_settings(ROOT_URLCONF=Urls("")):
        assert (await get("/nothing")).body == b"nothing"
        assert (await get("/metrics")).status_code == 401


def fill(runtime, number=20):
    runtime.start()
    for count in range(number):
        logging.getLogger("shop").warning("entry %s", count, extra={"number": count})
    runtime.flush()


@pytest.mark.asyncio
async def test_metrics_are_those_of_the_runtime(runtime, get):
    runtime.registry.counter("orders", "Orders.").inc()
    found = await get("/obs/metrics", headers=BEARER)
    assert (found.status_code, found.headers["content-type"]) == (
        200,
        "text/plain; version=0.0.4; charset=utf-8",
    )
    assert b"\norders_total 1\n" in found.body
    assert "no-store" in found.headers["cache-control"]
    assert found.headers["x-content-type-options"] == "nosniff"


@pytest.mark.asyncio
async def test_logs_are_ndjson_with_all_the_parameters(runtime, get):
    fill(runtime)
    found = await get("/obs/logs?q=entry&limit=3&order=desc&level=warning&attr.number=7", headers=BEARER)
    assert found.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["message"] for line in found.body.splitlines()] == ["entry 7"]
    wrong = await get("/obs/logs?limit=0", headers=BEARER)
    assert (wrong.status_code, json.loads(wrong.body)["parameter"]) == (400, "limit")


@pytest.mark.asyncio
async def test_many_pages_come_whole_and_in_order(runtime, get):
    runtime.handler.queue.max_entries = 20_000
    fill(runtime, 9_000)
    found = await get("/obs/logs?limit=9000&q=entry", headers=BEARER)
    assert [json.loads(line)["attributes"]["number"] for line in found.body.splitlines()] == list(
        range(9_000)
    )


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["/obs/metrics", "/obs/logs"])
async def test_without_the_token_it_is_always_the_same_401(runtime, get, path):
    for headers in ({}, {"authorization": "Bearer other"}, {"authorization": "é"}):
        found = await get(path, headers=headers)
        assert (found.status_code, "Bearer" in found.headers["www-authenticate"]) == (401, True)
        assert json.loads(found.body) == {"type": "about:blank", "title": "Unauthorized", "status": 401}


@pytest.mark.asyncio
@pytest.mark.parametrize("check", ["shop.obs.let_in", "shop.obs.let_in_asynchronously"])
async def test_a_check_of_the_applications_own_gets_djangos_request(runtime, get, check):
    fill(runtime)
    with override_settings(OBS={"RUNTIME": runtime, "ACCESS": check, "METRICS_ACCESS": "open"}):
        assert (await get("/obs/logs", headers={"x-role": "admin"})).status_code == 200
        assert (await get("/obs/logs", headers={"x-role": "guest"})).status_code == 401
        assert (await get("/obs/metrics")).status_code == 200


@pytest.mark.asyncio
async def test_a_check_that_fails_lets_nobody_in_and_is_reported(runtime, get, capfd):
    with override_settings(OBS={"RUNTIME": runtime, "ACCESS": "shop.obs.let_in_failing"}):
        for path in ("/obs/logs", "/obs/metrics"):
            assert (await get(path, headers={"x-role": "admin"})).status_code == 401
    assert "access: no such user" in capfd.readouterr().err


@pytest.mark.asyncio
async def test_a_decorator_of_the_applications_own_stands_before_a_view(runtime, get):
    fill(runtime)
    options = {"RUNTIME": runtime, "ACCESS": "open"}
    with override_settings(OBS=options, ROOT_URLCONF=__name__):
        for mine in ("/mine/metrics", "/mine/logs"):
            assert (await get(mine)).status_code == 403
            assert (await get(mine, headers={"x-role": "admin"})).status_code == 200
        assert reverse("obs:metrics") == "/metrics"
    assert set(counts(runtime)) == {series("/mine/metrics", 403), series("/mine/logs", 403)}


def test_loopback_is_a_client_of_this_machine(runtime):
    fill(runtime)
    with override_settings(OBS={"RUNTIME": runtime, "TOKEN": "sesame", "ACCESS": "loopback"}):
        for headers, status in (
            ({"host": "localhost"}, 200),
            ({"host": "evil.example"}, 401),
            ({"host": "localhost", "x-forwarded-for": "1.2.3.4"}, 401),
        ):
            response = Client().get("/obs/logs", headers=headers)
            response.close()
            assert response.status_code == status


def test_head_and_other_methods(runtime):
    fill(runtime)
    for endpoint in ("/obs/metrics", "/obs/logs"):
        found = Client().head(endpoint, headers=BEARER)
        assert (found.status_code, b"".join(found)) == (200, b"")
        assert Client(enforce_csrf_checks=True).post(endpoint, headers=BEARER).status_code == 405
        assert Client(enforce_csrf_checks=True).post(endpoint).status_code == 401


@pytest.mark.asyncio
async def test_a_project_without_the_middleware_is_told_so_when_it_starts(runtime, get, capfd):
    with override_settings(MIDDLEWARE=[]):
        assert (await get("/obs/metrics", headers={"authorization": "Bearer sesame"})).status_code == 200
    assert "MIDDLEWARE has no ObsMiddleware" in capfd.readouterr().err


@pytest.mark.asyncio
async def test_middleware_of_the_project_neither_caches_nor_forbids_nor_breaks(runtime, get):
    fill(runtime)
    names = [
        "obs_django.middleware.ObsMiddleware",
        "django.middleware.cache.UpdateCacheMiddleware",
        "django.middleware.gzip.GZipMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
    from django.db import connections

    with override_settings(MIDDLEWARE=names):
        connections["default"].settings_dict["ATOMIC_REQUESTS"] = True
        try:
            for path in ("/obs/metrics", "/obs/logs"):
                assert (await get(path, headers=BEARER)).status_code == 200
                assert (await get(path)).status_code == 401
        finally:
            connections["default"].settings_dict["ATOMIC_REQUESTS"] = False


@pytest.mark.asyncio
async def test_a_storage_that_fails_is_503_and_the_page_is_broken_off_where_it_fails(
    runtime, get, monkeypatch
):
    def fails(query):
        raise StorageError("no room")

    runtime.start()
    monkeypatch.setattr(runtime.storage.logs, "read", fails)
    assert (await get("/obs/logs", headers=BEARER)).status_code == 503


class Reading:
    """The reading of a storage, which knows how often it was begun and closed."""

    def __init__(self, logs):
        self.read_really = logs.read
        self.begun = self.closed = 0

    async def read(self, query: LogQuery):
        self.begun += 1
        try:
            async for stored in self.read_really(query):
                yield stored
        finally:
            self.closed += 1


@pytest.mark.parametrize("taken", [0, 1])
def test_a_reader_under_wsgi_that_leaves_closes_the_reading(runtime, monkeypatch, taken):
    fill(runtime, 5_000)
    reading = Reading(runtime.storage.logs)
    monkeypatch.setattr(runtime.storage.logs, "read", reading.read)
    response = Client().get("/obs/logs?limit=5000&since=1h&q=entry", headers=BEARER)
    chunks = iter(response)
    for _ in range(taken):
        assert next(chunks)
    response.close()
    assert reading.begun == reading.closed > 0


@pytest.mark.asyncio
async def test_a_reader_under_asgi_that_leaves_closes_the_reading(runtime, monkeypatch):
    fill(runtime, 5_000)
    reading = Reading(runtime.storage.logs)
    monkeypatch.setattr(runtime.storage.logs, "read", reading.read)
    for _ in range(3):  # more than may search at once
        response = await AsyncClient().get("/obs/logs?limit=5000&since=1h&q=entry", headers=BEARER)
        chunks = aiter(response)
        assert await anext(chunks)
        await chunks.aclose()
        response.close()
        assert reading.begun == reading.closed > 0


@pytest.mark.asyncio
async def test_a_scrape_that_hangs_keeps_neither_the_loop_nor_those_that_come_after(
    runtime, monkeypatch, capfd
):
    hanging = threading.Event()
    runtime.start()
    collect = runtime.collect
    monkeypatch.setattr(runtime, "collect", lambda: hanging.wait(20) and collect())
    monkeypatch.setattr(aio, "SCRAPE_SECONDS", 0.05)
    client = AsyncClient()
    assert (await client.get("/hello-async")).status_code == 200
    for _ in range(6):
        assert (await client.get("/obs/metrics", headers=BEARER)).status_code == 503
    assert (await client.get("/hello-async")).status_code == 200
    hanging.set()
    monkeypatch.setattr(aio, "SCRAPE_SECONDS", 5.0)
    statuses = []
    for _ in range(500):
        statuses.append((await client.get("/obs/metrics", headers=BEARER)).status_code)
        if statuses[-1] == 200:
            break
        await asyncio.sleep(0.01)
    assert statuses[-1] == 200
    assert "obs: metrics" in capfd.readouterr().err


@pytest.mark.asyncio
async def test_what_a_scrape_raises_goes_on(runtime):
    scrapes = aio.Scrapes(runtime)
    for _ in range(6):
        with pytest.raises(ZeroDivisionError):
            await scrapes.run(lambda: 1 / 0)


def test_following_under_wsgi_says_to_poll(runtime):
    found = Client().get("/obs/logs?follow=true", headers=BEARER)
    assert found.status_code == 400
    assert "poll with after" in json.loads(found.content)["detail"]


def test_importing_the_package_reads_no_setting():
    assert "obs_django" in sys.modules
    import subprocess

    code = "import obs_django, obs_django.apps, obs_django.middleware, obs_django._translate"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env={})
    assert done.returncode == 0, done.stderr
