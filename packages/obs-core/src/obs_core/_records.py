"""What is recorded. All are frozen; timestamps are Unix seconds as float, as `time.time()` gives.

Entries and samples come by the million and hold no cycles: the garbage collector need not look at them.
"""

from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

MetricKind = Literal["counter", "gauge", "histogram", "info", "unknown"]


class LogEntry(msgspec.Struct, frozen=True, gc=False):
    """One log entry. `level` is one of `LEVELS`; attribute values are JSON."""

    timestamp: float
    level: str
    message: str
    attributes: dict[str, Any] = {}
    logger: str = ""
    trace_id: str = ""
    span_id: str = ""


class StoredLog(msgspec.Struct, frozen=True, gc=False):
    """An entry with its place in the storage. Cursors are opaque text and only grow."""

    cursor: str
    entry: LogEntry


class MetricSample(msgspec.Struct, frozen=True, gc=False):
    """The value of one series at an instant, never an increment."""

    name: str
    value: float
    timestamp: float
    labels: dict[str, str] = {}


class MetricMetadata(msgspec.Struct, frozen=True):
    """What a metric family is. `name` is without `_total`, `_bucket` and the like."""

    name: str
    kind: MetricKind = "unknown"
    help: str = ""
    unit: str = ""


class MetricSeries(msgspec.Struct, frozen=True):
    """A whole series for charts: `times` (seconds) and `values` are arrays of doubles of equal length."""

    name: str
    labels: Mapping[str, str]
    times: "array[float]"
    values: "array[float]"


class Exemplar(msgspec.Struct, frozen=True):
    """One observation that a bucket counted, with the labels that lead to it, as `trace_id`."""

    labels: Mapping[str, str]
    value: float
    timestamp: float


class MetricFamily(msgspec.Struct, frozen=True):
    """A family at one instant, ready to expose.

    `keys` are the exposed names with their labels, escaped, as in `orders_total{plan="pro"}`, in the
    order of exposition; `values` are their values. Both have equal length. `aggregate` is a gauge's rule
    across workers, `created` says since when the family counts (Unix seconds; 0 where that is not known),
    `exemplars` maps an index of `keys` to an exemplar, and `set_at` says of each value of a `latest` gauge when it
    was set (Unix seconds; empty where that is not known).
    """

    metadata: MetricMetadata
    keys: Sequence[str]
    values: Sequence[float]
    aggregate: str = "sum"
    created: float = 0.0
    exemplars: Mapping[int, Exemplar] = {}
    set_at: Sequence[float] = ()
