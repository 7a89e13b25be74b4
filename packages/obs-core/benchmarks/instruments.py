# /// script
# requires-python = ">=3.11"
# dependencies = ["prometheus-client>=0.23", "opentelemetry-sdk>=1.30"]
# ///
"""What it costs to count: a counter, labels, a gauge and a histogram of 14 buckets."""

import os
import subprocess
import sys
import tempfile

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from shared.side_by_side import US, Measure, compare, named, timed, title

from obs_core import Registry

NUMBER = 100_000
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


class Peer:
    """prometheus_client in its multiprocess mode, which is chosen at import: a process of its own, asked in turns."""

    def __init__(self, folder: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "multiprocess"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": folder},
        )

    def measure(self) -> float:
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def end(self) -> None:
        self._process.communicate()


def answer() -> None:
    """The other side of `Peer`."""
    child = Counter("orders", "Orders.", ["plan"]).labels("pro")
    measure = timed("child.inc()", {"child": child}, NUMBER)
    for _ in sys.stdin:
        print(measure(), flush=True)


def on(name: str, statement: str, number: int = NUMBER, **names: object) -> dict[str, Measure]:
    return {name: timed(statement, names, number)}


def main() -> None:
    title("Instruments")
    ours, theirs = Registry(), CollectorRegistry()
    meter = MeterProvider(metric_readers=[InMemoryMetricReader()]).get_meter("bench")
    peer, other = named("prometheus-client"), named("opentelemetry-sdk")

    orders = ours.counter("orders", "Orders.", labels=("plan",))
    peer_orders = Counter("orders", "Orders.", ["plan"], registry=theirs)
    otel_orders = meter.create_counter("orders")
    with tempfile.TemporaryDirectory() as folder:
        multiprocess = Peer(folder)
        compare(
            "counter: inc() of a bound series",
            {
                **on(US, "child.inc()", child=orders.labels("pro")),
                **on(peer, "child.inc()", child=peer_orders.labels("pro")),
                f"{peer} multiprocess": multiprocess.measure,
                **on(other, "add(1, {'plan': 'pro'})", 20_000, add=otel_orders.add),
            },
            "budget: 4 times faster, 10 times the multiprocess mode",
        )
        multiprocess.end()
    compare(
        "labels('pro').inc()",
        {
            **on(US, "orders.labels('pro').inc()", orders=orders),
            **on(peer, "orders.labels('pro').inc()", orders=peer_orders),
        },
        "budget: 6 times faster",
    )
    depth, peer_depth = ours.gauge("depth", "Jobs."), Gauge("depth", "Jobs.", registry=theirs)
    compare(
        "gauge: set(1.5)",
        {**on(US, "depth.set(1.5)", depth=depth), **on(peer, "depth.set(1.5)", depth=peer_depth)},
    )
    spent = ours.histogram("spent", "Time.", buckets=BUCKETS)
    peer_spent = Histogram("spent", "Time.", buckets=BUCKETS, registry=theirs)
    otel_spent = meter.create_histogram("spent", explicit_bucket_boundaries_advisory=BUCKETS)
    compare(
        "histogram: observe(0.3), 14 buckets",
        {
            **on(US, "spent.observe(0.3)", spent=spent),
            **on(peer, "spent.observe(0.3)", spent=peer_spent),
            **on(other, "record(0.3)", 20_000, record=otel_spent.record),
        },
        "budget: 4 times faster",
    )


if __name__ == "__main__":
    answer() if sys.argv[1:] == ["multiprocess"] else main()
