"""obs_core: records, ports, instruments, encoders and queries, without any I/O."""

from ._attributes import describe
from ._capture import LogHandler
from ._context import bind, current_context
from ._errors import (
    ConfigurationError,
    CursorExpiredError,
    DeclarationError,
    ObsError,
    QueryError,
    StorageClosedError,
    StorageError,
)
from ._families import Family, Info
from ._instruments import Counter, Gauge, Histogram
from ._levels import LEVELS, SEVERITY, level_of_number, levels_from, parse_level
from ._memory import MemoryStorage
from ._ports import Counted, LogStoragePort, Maintained, MetricsStoragePort, Runtime, Storage, WorkersPort
from ._queries import LogQuery, MetricQuery, attribute_text, matches_log, matches_metric
from ._records import Exemplar, LogEntry, MetricFamily, MetricMetadata, MetricSample, MetricSeries, StoredLog
from ._redaction import SECRET_NAMES
from ._registry import Registry
from .retention import RetentionPolicy

__all__ = [
    "LEVELS",
    "SECRET_NAMES",
    "SEVERITY",
    "ConfigurationError",
    "Counted",
    "Counter",
    "CursorExpiredError",
    "DeclarationError",
    "Exemplar",
    "Family",
    "Gauge",
    "Histogram",
    "Info",
    "LogEntry",
    "LogHandler",
    "LogQuery",
    "LogStoragePort",
    "Maintained",
    "MemoryStorage",
    "MetricFamily",
    "MetricMetadata",
    "MetricQuery",
    "MetricSample",
    "MetricSeries",
    "MetricsStoragePort",
    "ObsError",
    "QueryError",
    "Registry",
    "RetentionPolicy",
    "Runtime",
    "Storage",
    "StorageClosedError",
    "StorageError",
    "StoredLog",
    "WorkersPort",
    "attribute_text",
    "bind",
    "current_context",
    "describe",
    "level_of_number",
    "levels_from",
    "matches_log",
    "matches_metric",
    "parse_level",
]

__version__ = "0.1.0"
