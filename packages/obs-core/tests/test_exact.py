"""Without a GIL every instrument and the queue take a lock of their own; the answers are the same."""

import subprocess
import sys
import threading

import pytest

from obs_core._exact import GIL, exact, locked

pytestmark = pytest.mark.unit

HAMMER = """
import sys
sys._is_gil_enabled = lambda: False  # as a free-threaded build answers
import logging, threading
from obs_core import LogHandler, Registry
from obs_core._queue import LogQueue

registry = Registry()
counter, gauge = registry.counter("a", ""), registry.gauge("b", "")
spent = registry.histogram("c", "", buckets=(0.5,))
handler = LogHandler(LogQueue(max_entries=100))
log = logging.Logger("burst")
log.addHandler(handler)
assert counter._lock is not None

def work():
    for _ in range(2000):
        counter.inc()
        gauge.inc()
        spent.observe(1)
        log.info("x")

threads = [threading.Thread(target=work) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert counter.values() == gauge.values() == (16000.0,)
assert list(spent.values())[-1] == 16000
kept = len(handler.drain(1000))
assert kept <= 100
assert kept + handler.queue.dropped()["queue_full"] == 16000
assert handler.queue.accepted == kept
registry.reset()
counter.inc()
assert counter.values() == (1.0,)
print("exact")
"""


def test_on_a_build_without_a_gil_all_is_counted_under_locks():
    done = subprocess.run([sys.executable, "-c", HAMMER], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("exact\n", "")


def test_under_a_gil_the_method_is_left_as_it_is():
    def method() -> None: ...

    assert (exact(method) is method) is GIL


def test_a_lock_may_be_taken_again_by_a_signal_handler_in_the_middle():
    class Thing:
        def __init__(self) -> None:
            self._lock = threading.RLock()
            self.depth = 0

        @locked
        def enter(self) -> None:
            """Goes in once more, as a signal handler would."""
            self.depth += 1
            if self.depth < 3:
                self.enter()

    thing = Thing()
    thing.enter()
    assert thing.depth == 3
    assert Thing.enter.__doc__.startswith("Goes in")
