"""What the applications of the tests of many workers share: a runtime, and one instrument of each kind.

E2E_STORAGE is `sqlite`, or `ring` with the board in a folder of its own.
"""

import logging
import os
from pathlib import Path

from obs_core import Storage
from obs_runtime import EmbeddedRuntime
from obs_storage_ring import RingStorage
from obs_storage_sqlite import SQLiteStorage

DATA = Path(os.environ["OBS_DATA"])


def storage() -> Storage:
    if os.environ.get("E2E_STORAGE") == "ring":
        return RingStorage(max_bytes=4_000_000)
    return SQLiteStorage(DATA / "obs.db")


board = DATA / "board" if os.environ.get("E2E_STORAGE") == "ring" else None
runtime = EmbeddedRuntime(storage(), board=board, service=os.environ.get("E2E_SERVICE", ""))
orders = runtime.registry.counter("orders_total", "Orders placed.", labels=("plan",))
sizes = runtime.registry.histogram("order_size", "Sizes of orders.", buckets=(1, 2, 4))
gauges = {
    aggregate: runtime.registry.gauge(f"{aggregate}_level", f"The {aggregate}.", aggregate=aggregate)
    for aggregate in ("sum", "max", "min", "latest", "per_worker")
}


log = logging.getLogger("counted")


def place(number: int) -> str:
    """One order, counted twice; who counted it."""
    orders.labels("pro" if number % 2 else "free").inc()
    sizes.observe(number % 5)
    log.info("placed", extra={"number": number})
    return str(os.getpid())


def set_level(value: float) -> str:
    """Set the gauges of this worker; who that is."""
    for gauge in gauges.values():
        gauge.set(value)
    return str(os.getpid())
