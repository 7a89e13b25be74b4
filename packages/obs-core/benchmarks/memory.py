# /// script
# requires-python = ">=3.11"
# dependencies = ["prometheus-client>=0.23"]
# ///
"""Bytes for a series, for a queued log entry, and what a flood of label values and of log entries leaves."""

import logging
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram
from shared.side_by_side import US, named, title

from obs_core import LogHandler, Registry

SERIES = 2000
FLOOD = 1_000_000


def grown(make: Callable[[], object]) -> int:
    """Bytes that are held after `make`, by what it gives."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    kept = make()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return after - before


def our_series(kind: str) -> Registry:
    registry = Registry()
    family = getattr(registry, kind)("orders", "Orders.", labels=("user",))
    for user in range(SERIES):
        family.labels(f"user-{user}")
    registry.collect()
    return registry


def their_series(kind: type) -> CollectorRegistry:
    registry = CollectorRegistry()
    family = kind("orders", "Orders.", ["user"], registry=registry)
    for user in range(SERIES):
        family.labels(f"user-{user}")
    return registry


def queued(count: int) -> LogHandler:
    handler = LogHandler()
    log = logging.Logger("shop")
    log.addHandler(handler)
    for number in range(count):
        log.info("order %d paid by a customer in time", number)
    return handler


def resident() -> int:
    """Resident memory in kB."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def flood(kind: str) -> None:
    """What a million of each leaves in a process of its own."""
    before = resident()
    if kind == "labels":
        registry = Registry()
        orders = registry.counter("orders", "Orders.", labels=("user",))
        for user in range(FLOOD):
            orders.labels(f"user-{user}").inc()
        (family, dropped) = registry.collect()[::-1]
        count = f"{len(family.keys)} series, {dropped.values[0]:.0f} uses in the overflow series"
    else:
        handler = queued(FLOOD)
        count = f"{len(handler.queue)} queued, {handler.queue.dropped()['queue_full']} counted as dropped"
    print(f"{(resident() - before) / 1024:.1f} MB more: {count}")


def main() -> None:
    title("Memory")
    peer = named("prometheus-client")
    for kind, theirs in (("counter", Counter), ("histogram", Histogram)):
        what = f"bytes for a series of a {kind}"
        our = grown(lambda kind=kind: our_series(kind)) // SERIES
        their = grown(lambda theirs=theirs: their_series(theirs)) // SERIES
        print(f"{what:44} {US:40} {our:>10}")
        print(f"{'':44} {peer:40} {their:>10}  {their / our:.1f} times ours")
    size = grown(lambda: queued(20_000)) // 20_000
    print(f"{'bytes for a queued entry of 40 characters':44} {US:40} {size:>10}")
    for kind, what in (("labels", "1 M distinct label values"), ("entries", "1 M log entries at once")):
        done = subprocess.run([sys.executable, __file__, kind], capture_output=True, text=True, check=True)
        print(f"{what:44} {US:40} {done.stdout.strip()}")


if __name__ == "__main__":
    flood(sys.argv[1]) if sys.argv[1:] else main()
