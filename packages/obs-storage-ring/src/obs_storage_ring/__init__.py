"""obs_storage_ring: logs and metrics within a fixed bound on memory; the oldest are forgotten."""

from ._storage import RingStorage

__all__ = ["RingStorage"]

__version__ = "0.1.0"
