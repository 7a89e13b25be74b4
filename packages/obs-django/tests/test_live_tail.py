"""`/logs?follow=true` under ASGI."""

import asyncio
import http.client
import json
import logging

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.test import override_settings
from servers import Server, wait_for

from obs_django import _tail

pytestmark = pytest.mark.integration
LIMIT = 90.0


class Reader:
    """One request to the project by ASGI, which takes a chunk only when `take` asks for it."""

    def __init__(self, path: str) -> None:
        self.chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.taking = asyncio.Semaphore(0)
        self.gone = asyncio.Event()
        self.offered = asyncio.Event()
        self.status = 0
        self._asked = False
        self._scope = {
            "type": "http",
            "method": "GET",
            "path": "/obs/logs",
            "query_string": path.encode(),
            "headers": [(b"authorization", b"Bearer sesame"), (b"host", b"localhost")],
        }

    async def __aenter__(self):
        self.task = asyncio.create_task(ASGIHandler()(self._scope, self._receive, self._send))
        return self

    async def __aexit__(self, *error):
        self.gone.set()
        self.taking.release()
        await asyncio.wait_for(asyncio.gather(self.task, return_exceptions=True), LIMIT)

    async def take(self) -> bytes:
        self.taking.release()
        return await asyncio.wait_for(self.chunks.get(), LIMIT)

    async def line(self) -> dict:
        """The next line that is none of the blank ones."""
        while not (chunk := (await self.take()).strip()):
            pass
        return json.loads(chunk.splitlines()[-1])

    async def _receive(self):
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, event):
        if event["type"] == "http.response.start":
            self.status = event["status"]
            return
        self.offered.set()
        await self.taking.acquire()
        self.chunks.put_nowait(event.get("body", b""))


def log(runtime, message):
    logging.getLogger("shop").warning(message)
    runtime.flush()


@pytest.mark.asyncio
async def test_new_entries_come_and_the_reader_goes_on_from_a_cursor(runtime):
    runtime.start()
    log(runtime, "before")
    async with Reader("follow=true") as reader:
        assert (await reader.line())["message"] == "before"
        log(runtime, "first")
        first = await reader.line()
        log(runtime, "second")
        assert (first["message"], (await reader.line())["message"]) == ("first", "second")
    async with Reader(f"follow=true&after={first['cursor']}") as reader:
        assert (await reader.line())["message"] == "second"


@pytest.mark.asyncio
async def test_a_stream_ends_when_the_process_begins_to_stop(runtime):
    runtime.start()
    log(runtime, "before")
    async with Reader("follow=true") as reader:
        await reader.line()
        await asyncio.to_thread(runtime.stop)
        reader.taking.release()
        await asyncio.wait_for(reader.task, LIMIT)


@pytest.mark.asyncio
@pytest.mark.parametrize("stopping", [True, False])
async def test_a_reader_that_does_not_read_is_given_up(runtime, monkeypatch, stopping):
    monkeypatch.setattr(_tail, "SEND_SECONDS", 10 * LIMIT if stopping else 0.05)
    runtime.start()
    log(runtime, "before")
    reader = Reader("follow=true")
    async with reader:
        if stopping:
            await asyncio.wait_for(reader.offered.wait(), LIMIT)
            await asyncio.to_thread(runtime.stop)
        await asyncio.wait_for(asyncio.gather(reader.task, return_exceptions=True), LIMIT)
    assert reader.chunks.empty()


@pytest.mark.asyncio
async def test_streams_are_bounded_in_number_and_each_gives_its_place_back(runtime):
    runtime.start()
    log(runtime, "before")
    readers = [Reader("follow=true") for _ in range(16)]
    for reader in readers:
        await reader.__aenter__()
        assert (await reader.line())["message"] == "before"
    async with Reader("follow=true") as one_more:
        one_more.taking.release()
        await asyncio.wait_for(one_more.task, LIMIT)
        assert one_more.status == 503
    for reader in readers:
        await reader.__aexit__()
    async with Reader("follow=true") as again:
        assert (await again.line())["logger"]


@pytest.mark.asyncio
async def test_the_life_of_a_stream_is_bounded(runtime):
    with override_settings(OBS={"RUNTIME": runtime, "TOKEN": "sesame", "STREAM_LIFE": 0.2}):
        runtime.start()
        log(runtime, "before")
        async with Reader("follow=true") as reader:
            await reader.line()
            for _ in range(10):
                reader.taking.release()
            await asyncio.wait_for(reader.task, LIMIT)
        assert reader.status == 200


@pytest.mark.parametrize("name", ["uvicorn", "uvicorn workers"])
def test_a_real_server_stops_though_streams_are_open(tmp_path, name):
    with Server(name, tmp_path) as server:
        server.get("/orders/1")
        connections = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT) for _ in range(3)]
        for connection in connections:
            connection.request("GET", "/obs/logs?follow=true", headers={"authorization": "Bearer sesame"})
        responses = [connection.getresponse() for connection in connections]
        assert [response.status for response in responses] == [200] * 3
        server.get("/orders/7")
        for response in responses:
            wait_for(lambda response=response: b'"number":7' in response.readline(), "the entry comes")
        server.stop()
        for connection in connections:
            connection.close()
    assert "Traceback" not in server.output()
