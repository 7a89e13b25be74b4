import asyncio
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from servers import DEADLINE, PROJECT, SERVERS, Server, wait_for

from obs_core import LogQuery
from obs_storage_sqlite import SQLiteStorage

pytestmark = pytest.mark.integration


def stored(folder, **query):
    """The entries in the file that the server wrote."""

    async def read():
        async with SQLiteStorage(folder / "obs.db") as storage:
            return [stored.entry async for stored in storage.logs.read(LogQuery(**query))]

    with asyncio.Runner() as runner:
        return runner.run(read())


def logs(server, query=""):
    _, body, _ = wait_for(
        lambda: (found := server.get(f"/obs/logs?{query}"))[0] == 200 and found,
        "the logs are read",
        server.output,
    )
    return [json.loads(line) for line in body.splitlines()]


def sample(server, start):
    _, body, _ = server.get("/obs/metrics")
    return [line for line in body.decode().splitlines() if line.startswith(start)]


@pytest.mark.parametrize("name", SERVERS)
def test_requests_and_their_entries_come_through_whole_and_stopping_loses_nothing(tmp_path, name):
    with Server(name, tmp_path) as server:
        assert server.get("/orders/0", x_request_id="r-0")[2]["x-request-id"] == "r-0"
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda number: server.get(f"/orders/{number}"), range(1, 100)))
        assert [status for status, _, _ in answers] == [200] * 99
        assert {entry["attributes"]["number"] for entry in logs(server, "q=order&logger=shop")} <= set(
            range(100)
        )
        assert server.get("/orders/100")[0] == 200
    entries = stored(tmp_path, text="order", logger="shop")
    assert sorted(entry.attributes["number"] for entry in entries) == list(range(101)), server.output()
    assert all(entry.attributes["request_id"] and entry.trace_id for entry in entries)
    assert "Traceback" not in server.output()


@pytest.mark.parametrize("name", ["gunicorn sync", "uvicorn"])
def test_many_entries_are_streamed_whole(tmp_path, name):
    with Server(name, tmp_path) as server:
        for _ in range(10):
            assert server.get("/burst/1000")[0] == 200
        wait_for(lambda: len(logs(server, "limit=10000&q=burst")) == 10_000, "all is stored", server.output)
        status, body, headers = server.get("/obs/logs?limit=10000&q=burst")
    assert (status, headers["content-type"]) == (200, "application/x-ndjson")
    assert len(body.splitlines()) == 10_000


@pytest.mark.parametrize("path", ["/slow", "/stream-async?chunks=100000"])
def test_a_client_that_left_is_499(tmp_path, path):
    route = path.partition("?")[0]
    with Server("uvicorn", tmp_path) as server:
        server.leave(path, b"200 OK" if "stream" in path else b"")
        gone = f'http_server_request_duration_seconds_count{{http_request_method="GET",http_route="{route}"'
        (line,) = wait_for(lambda: sample(server, gone), "the request is counted", server.output)
        assert 'http_response_status_code="499"' in line
        assert all(line.endswith(" 0") for line in sample(server, "http_server_active_requests{"))


@pytest.mark.parametrize(
    ("name", "arguments", "environment"),
    [("gunicorn sync", [], {"SCRIPT_NAME": "/mounted"}), ("uvicorn", ["--root-path", "/mounted"], {})],
)
def test_where_the_project_is_mounted_is_no_part_of_the_route(tmp_path, name, arguments, environment):
    with Server(name, tmp_path, *arguments, **environment) as server:
        path = "/mounted/orders/7" if name.startswith("gunicorn") else "/orders/7"
        assert server.get(path)[0] == 200
        prefix = path.removesuffix("/orders/7")
        wait_for(
            lambda: b'http_route="/orders/<int:order_id>"' in server.get(f"{prefix}/obs/metrics")[1],
            "the request is counted, by whichever worker",
            server.output,
        )


@pytest.mark.parametrize("command", ["check", "migrate"])
def test_a_command_of_manage_starts_nothing(tmp_path, command):
    done = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", command],
        cwd=PROJECT,
        env={"SHOP_FOLDER": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.glob("obs.db*"))


def test_a_script_or_the_shell_starts_it_itself(tmp_path):
    code = "from shop.obs import runtime; import logging; runtime.start(); logging.getLogger('shop').warning('by hand')"
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", code],
        cwd=PROJECT,
        env={"SHOP_FOLDER": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [entry.message for entry in stored(tmp_path)] == ["by hand"]


def test_the_autoreloader_starts_it_once_and_only_at_the_first_request(tmp_path):
    with Server("runserver", tmp_path) as server:
        assert "obs: " not in server.output()
        assert not list(tmp_path.glob("obs.db*"))
        for number in range(3):
            server.get(f"/orders/{number}")
        assert server.output().count("obs: /logs needs the token") == 1


def test_a_bad_setting_stops_the_server_with_a_clear_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import shop.wsgi"],
        cwd=PROJECT,
        env={"DJANGO_SETTINGS_MODULE": "shop.settings", "SHOP_RUNTIME": "shop.nowhere.runtime"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        'django.core.exceptions.ImproperlyConfigured: OBS["RUNTIME"] is'
    )
