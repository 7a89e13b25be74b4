"""A storage that hangs for ever: the host is as fast as without us, metrics say that history is degraded, it ends."""

import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import httpx

from harness.places import APPLICATIONS
from harness.service import Service
from harness.starting import Starter
from harness.waiting import until

from .figures import Figures, holds, percentile
from .outages import COMMAND, seconds_until_written, start
from .shim import Disk

ROUND, SLOWER, NOISE = 400, 1.10, 0.0005


def hanging(folder: Path, rounds: int, *, quick: bool = True) -> Figures:
    """So many rounds of requests to a service whose storage hangs and to one without us, in turn."""
    disk = Disk(folder / "faults")
    with ExitStack() as stack:
        service = start(stack, folder / "with", disk)
        (folder / "without").mkdir()
        without = Starter(stack, folder / "without").command(COMMAND, cwd=APPLICATIONS, E2E_BARE="1")
        service.get("/log/10")
        seconds_until_written(service, "before", "urgent")
        with disk.failing("slowsync", seconds=600):
            service.get("/urgent/hangs")
            said = until(lambda: service.metrics().total("obs_storage_degraded"), "it is said to be degraded")
            ours, theirs = _in_turn(service, without, rounds)
            begun = time.monotonic()
            service.metrics()
            scrape = time.monotonic() - begun
        seconds = seconds_until_written(service, "after", "urgent")
    slow, bare = median(ours), median(theirs)
    holds(
        not quick or slow < SLOWER * bare + NOISE, f"p99 {slow * 1e3:.2f} ms, without us {bare * 1e3:.2f} ms"
    )
    return {
        "p99 of requests, storage hanging": f"{1000 * slow:.2f} ms",
        "p99 of requests without us": f"{1000 * bare:.2f} ms ({slow / bare:.2f} times)",
        "a scrape meanwhile": f"{1000 * scrape:.0f} ms",
        "degraded, as metrics said": f"{said:.0f}",
        "written again after": f"{seconds:.1f} s",
    }


def reading_hangs(folder: Path) -> Figures:
    """A disk that answers no read for ever, readers in the middle of one, and a service that is told to stop."""
    disk = Disk(folder / "faults")
    with ExitStack() as stack:
        service = start(stack, folder, disk)
        seconds_until_written(service, "before", "urgent")
        headers = service.headers
        pool = stack.enter_context(ThreadPoolExecutor(3))
        with disk.failing("slowread", part="obs.db$", seconds=600):
            pages = "/logs?limit=5", "/logs?q=mark", "/logs?follow=true"
            answers = [pool.submit(_status, service, page, headers) for page in pages]
            time.sleep(0.5)  # each is inside its read: nothing tells of it
            begun = time.monotonic()
            holds(service.get("/sent").status_code == 200, "a request was not answered")
            metrics = service.get("/metrics", **headers).status_code
            holds(metrics == 200, f"/metrics was answered with {metrics}")
            request = time.monotonic() - begun
            ended = service.server.stop()
            found = [answer.result() for answer in answers]
    holds(set(found) <= {0, 503}, f"readers were answered with {found}")
    holds("Traceback" not in service.server.output, "it ended with a traceback")
    return {
        "a request and a scrape meanwhile": f"{1000 * request:.0f} ms",
        "ended after SIGTERM": f"{ended:.1f} s",
    }


def _status(service: Service, page: str, headers: dict[str, str]) -> int:
    """Of the answer, or 0 where the connection was closed without one."""
    try:
        return service.get(page, **headers).status_code
    except httpx.TransportError:
        return 0


def _in_turn(first: Service, second: Service, rounds: int) -> tuple[list[float], list[float]]:
    """The p99 of each round of both; a request to one, then one to the other, so that noise meets both."""
    found: tuple[list[float], list[float]] = ([], [])
    connections = [
        http.client.HTTPConnection("127.0.0.1", one.server.port, timeout=20) for one in (first, second)
    ]
    for _ in range(rounds):
        took: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUND):
            for connection, times in zip(connections, took, strict=True):
                times.append(_ask(connection))
        for times, slow in zip(took, found, strict=True):
            slow.append(percentile(times, 0.99))
    for connection in connections:
        connection.close()
    return found


def _ask(connection: http.client.HTTPConnection) -> float:
    begun = time.perf_counter()
    connection.request("GET", "/sent")
    response = connection.getresponse()
    response.read()
    holds(response.status == 200, f"a request was answered with {response.status}")
    return time.perf_counter() - begun
