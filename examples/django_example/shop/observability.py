"""The runtime of the project, and what it counts. Importing it opens and starts nothing."""

import os
from pathlib import Path

from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

runtime = EmbeddedRuntime(SQLiteStorage(Path(os.environ.get("OBS_DATA", "obs-data")) / "obs.db"))
placed = runtime.registry.counter("orders_total", "Orders placed.", labels=("plan",))
amounts = runtime.registry.histogram("order_amount_euros", "Amounts of orders.", buckets=(10, 100, 1000))
