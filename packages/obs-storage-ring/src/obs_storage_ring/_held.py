"""What a storage holds, for one process: a forked child begins with nothing."""

import secrets
from threading import Lock

from obs_core import MetricMetadata

from ._ring import Ring

LOGS = "logs"
METRICS = "metrics"


class Held:
    """The ring, what the cursors of its entries begin with, and the metadata of the metrics."""

    def __init__(self, max_bytes: int) -> None:
        self.ring = Ring(max_bytes, LOGS, METRICS)
        self.generation = secrets.token_hex(8)
        self.metadata: dict[str, MetricMetadata] = {}
        self.lock = Lock()
