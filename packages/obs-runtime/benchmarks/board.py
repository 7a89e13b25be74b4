# /// script
# requires-python = ">=3.11"
# dependencies = ["prometheus-client>=0.23"]
# ///
"""What /metrics of a whole service costs: our board beside prometheus_client, alone and in its multiprocess mode.

Both are asked through their ASGI applications, as a scraper asks; what is counted is the whole time of an answer.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from prometheus_client import CollectorRegistry, Counter, make_asgi_app
from prometheus_client.multiprocess import MultiProcessCollector
from shared.side_by_side import Measure, compare, named, title

from obs_asgi import ObsApp
from obs_core import MemoryStorage, Registry
from obs_core.encoders import exposition
from obs_runtime import EmbeddedRuntime

US, PEER = "obs-runtime", named("prometheus-client")
SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "method": "GET",
    "path": "/metrics",
    "query_string": b"",
    "headers": [(b"host", b"localhost"), (b"accept", b"text/plain; version=0.0.4")],
}
COUNTING = """
import sys
from prometheus_client import Counter
for number in range(int(sys.argv[1]) // 2000):
    counter = Counter(f"orders_{number}", "Orders.", ["user", "plan"])
    for user in range(2000):
        counter.labels(f"user-{user}", "pro").inc(user)
"""


def worker(series: int, folder: Path) -> EmbeddedRuntime:
    """A worker with so many series, on a board."""
    registry = Registry()
    for number in range(series // 2000):
        counter = registry.counter(f"orders_{number}", "Orders.", labels=("user", "plan"))
        for user in range(2000):
            counter.labels(f"user-{user}", "pro").inc(user)
    return EmbeddedRuntime(
        MemoryStorage(), registry=registry, board=folder, signals=False, process_metrics=False
    )


def service(folder: Path, workers: int, series: int) -> EmbeddedRuntime:
    """One of several workers, each of which has published so many series."""
    runtimes = [worker(series, folder) for _ in range(workers)]
    for runtime in runtimes:
        runtime.collect()
    kept.extend(runtimes)
    return runtimes[0]


def timed(function: Callable[[], object], times: int = 1) -> Measure:
    def measure() -> float:
        begun = perf_counter()
        for _ in range(times):
            function()
        return (perf_counter() - begun) / times

    return measure


def asked(app: Any, loop: asyncio.Runner, before: Callable[[], object] = lambda: None) -> Callable[[], None]:
    """A scrape of an ASGI application."""

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(event: dict[str, Any]) -> None:
        if event["type"] == "http.response.start":
            assert event["status"] == 200

    def scrape() -> None:
        before()
        loop.run(app(dict(SCOPE), receive, send))

    return scrape


def peer_alone() -> CollectorRegistry:
    registry = CollectorRegistry()
    for number in range(5):
        counter = Counter(f"orders_{number}", "Orders.", ["user", "plan"], registry=registry)
        for user in range(2000):
            counter.labels(f"user-{user}", "pro").inc(user)
    return registry


def peer_multiprocess(folder: Path, workers: int, series: int) -> CollectorRegistry:
    """prometheus_client's own way for several workers, with the files that so many wrote."""
    folder.mkdir()
    for _ in range(workers):
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
        subprocess.run([sys.executable, "-c", COUNTING, str(series)], check=True, env=environment)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))
    return registry


kept: list[EmbeddedRuntime] = []


def counting(runtime: EmbeddedRuntime) -> Callable[[], None]:
    """Something is counted between two scrapes, as it is in a service."""
    return (
        runtime.registry.counter("orders_0", "Orders.", labels=("user", "plan")).labels("user-0", "pro").inc
    )


def scrapes(
    what: str, runtime: EmbeddedRuntime, peer: CollectorRegistry, loop: asyncio.Runner, budget: str = ""
) -> None:
    ours = asked(ObsApp(runtime, access="open"), loop, counting(runtime))
    theirs = asked(make_asgi_app(peer, disable_compression=True), loop)
    compare(what, {US: timed(ours, 5), PEER: timed(theirs)}, budget, us=US)


def main(top: Path) -> None:
    title("/metrics of a whole service, asked through ASGI", US)
    single = service(top / "single", 1, 10_000)
    with asyncio.Runner() as loop:
        budget = "budget: 20 times faster"
        scrapes("/metrics: 1 worker, 10,000 series", single, peer_alone(), loop, budget)
        four = service(top / "four", 4, 10_000)
        scrapes(
            "/metrics: 4 workers of 10,000 series",
            four,
            peer_multiprocess(top / "peer-four", 4, 10_000),
            loop,
            budget,
        )
        small = service(top / "small", 4, 2000)
        scrapes("/metrics: 4 workers of 2,000 series", small, peer_multiprocess(top / "peer", 4, 2000), loop)
    count = counting(single)

    def collected() -> None:
        count()
        exposition(single.collect())

    def publish() -> None:
        count()
        single._metrics.publish()

    compare("the same without ASGI, 1 worker", {US: timed(collected, 5)}, us=US)
    compare("gathering and publishing 10,000 series", {US: timed(publish, 5)}, "each second", us=US)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
        for one in kept:
            one.stop()
        kept.clear()
