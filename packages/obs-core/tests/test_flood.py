"""What a flood of log entries or of label values leaves in a process of its own, as the operating system sees it."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

MEGABYTE = 1_000_000
FLOOD = """
import json, sys, threading
from obs_core import LogHandler
from obs_core.process import _resident_memory

kind, total = sys.argv[1], int(sys.argv[2])
handler = LogHandler()
log = handler.logger("shop")
calls = {
    "ten numbers": lambda n: log.info(
        "paid", a=n * 0.1, b=n * 0.2, c=n * 0.3, d=n * 0.4, e=n * 0.5, f=n + 600, g=n + 700, h=n + 800, i=n + 900, j=n
    ),
    "names of its own": lambda n: log.info("paid", **{f"name_{n}_{i}": i * 0.1 for i in range(10)}),
    "texts": lambda n: log.info(f"order {n}", a=f"a {n}", b=f"b {n}", c=f"c {n}"),
    "nested": lambda n: log.info("paid", items=[n + 1000, n + 2000, n + 3000], more={"n": n + 1000, "t": f"t {n}"}),
    "beyond ASCII": lambda n: log.info(f"{n} " + 100 * "\\U0001f600", text=f"{n} " + 100 * "\\U0001f600"),
}
one = calls[kind]
one(0)
handler.queue.clear()
before = _resident_memory()

def send(first):
    for n in range(first, total, 8):
        one(n)

threads = [threading.Thread(target=send, args=(first,)) for first in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
grown = _resident_memory() - before
kept, size = len(handler.queue), handler.queue.size
print(json.dumps({"grown": grown, "size": size, "kept": kept, "dropped": handler.queue.dropped()}))
"""


LABELS = """
import json
from obs_core import Registry
from obs_core.process import _resident_memory

registry = Registry()
orders = registry.counter("orders", "Orders.", labels=("user", "path"))

def send(first, last):
    for user in range(first, last):
        orders.labels(f"user-{user}", f"/{user}/" + "x" * 1000).inc()

send(0, 5_000)
registry.collect()
before = _resident_memory()
send(5_000, 1_000_000)
cut, dropped, counted = [dict(zip(one.keys, one.values)) for one in registry.collect()]
print(json.dumps({"grown": _resident_memory() - before, "series": len(counted), **counted, **cut, **dropped}))
"""


def flood(kind: str, total: int) -> dict:
    return told(FLOOD, kind, str(total))


def told(code: str, *arguments: str) -> dict:
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    # Not measured by coverage: it would take eight times as long, and memory of its own.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_million_entries_from_eight_threads_are_kept_or_counted_and_take_what_the_bound_says():
    left = flood("ten numbers", 1_000_000)
    dropped = left["dropped"].pop("queue_full")
    assert left["kept"] + dropped == 1_000_000
    assert not any(left["dropped"].values())
    assert left["kept"] > 30_000
    # The rest is what threads and the allocator take.
    assert left["grown"] < (64 + 8) * MEGABYTE


@pytest.mark.parametrize("kind", ["names of its own", "texts", "nested", "beyond ASCII"])
def test_the_queue_takes_no_more_memory_than_it_counts(kind):
    left = flood(kind, 120_000)
    assert left["size"] > 50 * MEGABYTE
    assert left["grown"] < left["size"] + 8 * MEGABYTE


def test_a_million_different_label_values_leave_two_thousand_series_and_a_bounded_memory():
    left = told(LABELS)
    assert left["series"] == 2_001
    assert left['orders_total{user="_overflow",path="_overflow"}'] == 998_000
    assert left['obs_series_dropped_total{metric="orders"}'] == 998_000
    assert left['obs_label_values_cut_total{metric="orders"}'] == 1_000_000
    assert left["grown"] < 2 * MEGABYTE
