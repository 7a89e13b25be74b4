"""Encoders: from records to the bytes of NDJSON, of the Prometheus text format 0.0.4 and of OpenMetrics 1.0."""

from .._series_keys import parse_series_key, series_key
from ._ndjson import encode_ndjson, ndjson_lines, rfc3339
from ._openmetrics import CONTENT_TYPE_OPENMETRICS
from ._prometheus import CONTENT_TYPE_TEXT, encode_prometheus, exposition

__all__ = [
    "CONTENT_TYPE_OPENMETRICS",
    "CONTENT_TYPE_TEXT",
    "encode_ndjson",
    "encode_prometheus",
    "exposition",
    "ndjson_lines",
    "parse_series_key",
    "rfc3339",
    "series_key",
]
