"""obs_storage_sqlite: logs and metrics in one SQLite file, shared by many processes."""

from ._storage import SQLiteStorage

__all__ = ["SQLiteStorage"]

__version__ = "0.1.0"
