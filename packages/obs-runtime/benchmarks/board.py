# /// script
# requires-python = ">=3.11"
# dependencies = ["prometheus-client>=0.23"]
# ///
"""What /metrics of a whole service costs: our board beside prometheus_client, alone and in its multiprocess mode."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from obs_core import MemoryStorage, Registry
from obs_core.encoders import exposition
from obs_runtime import EmbeddedRuntime

ROUNDS = 7
PEER = """
import sys
from prometheus_client import Counter
for number in range(int(sys.argv[1]) // 2000):
    counter = Counter(f"orders_{number}", "Orders.", ["user", "plan"])
    for user in range(2000):
        counter.labels(f"user-{user}", "pro").inc(user)
"""


def ours(series: int, folder: Path) -> EmbeddedRuntime:
    """A worker with so many series, on a board."""
    registry = Registry()
    for number in range(series // 2000):
        counter = registry.counter(f"orders_{number}", "Orders.", labels=("user", "plan"))
        for user in range(2000):
            counter.labels(f"user-{user}", "pro").inc(user)
    return EmbeddedRuntime(
        MemoryStorage(), registry=registry, board=folder, signals=False, process_metrics=False
    )


def milliseconds(function: Callable[[], object]) -> float:
    begun = perf_counter()
    function()
    return (perf_counter() - begun) * 1000


def compare(what: str, us: Callable[[], object], peer: Callable[[], object] | None = None) -> None:
    """The medians of interleaved rounds."""
    our_times, peer_times = [], []
    for _ in range(ROUNDS):
        our_times.append(min(milliseconds(us) for _ in range(5)))
        if peer is not None:
            peer_times.append(milliseconds(peer))
    line = f"{what:58} obs {median(our_times):8.2f} ms"
    if peer is not None:
        ratio = median(peer_times) / median(our_times)
        line += f"   prometheus_client {median(peer_times):8.1f} ms   {ratio:6.1f} times"
    print(line)


def scrape(runtime: EmbeddedRuntime) -> Callable[[], bytes]:
    """A request for /metrics after something was counted, as it is in a service."""
    counter = runtime.registry.counter("orders_0", "Orders.", labels=("user", "plan")).labels("user-0", "pro")

    def answer() -> bytes:
        counter.inc()
        return exposition(runtime.collect())

    return answer


def multiprocess(folder: Path, workers: int, series: int) -> Callable[[], object]:
    """prometheus_client's own way for several workers, with the files that so many wrote."""
    folder.mkdir()
    for _ in range(workers):
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
        subprocess.run([sys.executable, "-c", PEER, str(series)], check=True, env=environment)

    def answer() -> bytes:
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(folder))
        return generate_latest(registry)

    return answer


def service(folder: Path, workers: int, series: int) -> EmbeddedRuntime:
    """One of several workers, each of which has published so many series."""
    runtimes = [ours(series, folder) for _ in range(workers)]
    for runtime in runtimes:
        runtime.collect()
    kept.extend(runtimes)
    return runtimes[0]


kept: list[EmbeddedRuntime] = []


def main(top: Path) -> None:
    print(f"\n/metrics, prometheus_client {version('prometheus-client')}, Python {sys.version.split()[0]}")
    alone = CollectorRegistry()
    for number in range(5):
        peer = Counter(f"orders_{number}", "Orders.", ["user", "plan"], registry=alone)
        for user in range(2000):
            peer.labels(f"user-{user}", "pro").inc(user)
    single = service(top / "single", 1, 10_000)
    compare("1 worker, 10,000 series (budget: 20 times)", scrape(single), lambda: generate_latest(alone))
    compare(
        "4 workers of 10,000 series (budget: 20 times)",
        scrape(service(top / "four", 4, 10_000)),
        multiprocess(top / "peer-four", 4, 10_000),
    )
    compare(
        "4 workers of 2,000 series",
        scrape(service(top / "small", 4, 2000)),
        multiprocess(top / "peer-small", 4, 2000),
    )
    counter = single.registry.counter("orders_0", "Orders.", labels=("user", "plan")).labels("user-0", "pro")

    def publish() -> None:
        counter.inc()
        single._metrics.publish()

    compare("gathering and publishing 10,000 series, each second", publish)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
        kept.clear()
