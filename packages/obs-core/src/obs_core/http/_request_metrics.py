"""Request metrics by the OpenTelemetry conventions for HTTP servers, in Prometheus spelling."""

from typing import Final

from .._instruments import Gauge, Histogram
from .._registry import Registry

CLIENT_GONE: Final = 499
UNMATCHED: Final = "_unmatched"
_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"}
)
_LABELS: Final = (
    "http_request_method",
    "http_route",
    "http_response_status_code",
    "url_scheme",
    "error_type",
)


class RequestMetrics:
    """What both middlewares count with."""

    def __init__(self, registry: Registry) -> None:
        self._duration = registry.histogram(
            "http_server_request_duration_seconds", "Duration of HTTP requests.", labels=_LABELS
        )
        self._active = registry.gauge(
            "http_server_active_requests",
            "Requests that are being served.",
            labels=("http_request_method", "url_scheme"),
        )
        # A dictionary of our own saves the work of labels(); it is bounded like the series are.
        self._series: dict[tuple[str, str, int, str, str], Histogram] = {}

    def started(self, method: str, scheme: str) -> Gauge:
        """Count a request in; give what is returned to `finished`."""
        active = self._active.labels(method if method in _METHODS else "_OTHER", scheme)
        active.inc()
        return active

    def finished(
        self,
        active: Gauge,
        method: str,
        route: str,
        status: int,
        scheme: str,
        seconds: float,
        error_type: str = "",
    ) -> None:
        """Count a request out. `route` is the template, empty where none matched."""
        active.dec()
        key = method, route, status, scheme, error_type
        series = self._series.get(key)
        if series is None:
            known = method if method in _METHODS else "_OTHER"
            if not error_type and status >= 500:
                error_type = str(status)
            series = self._duration.labels(known, route or UNMATCHED, status, scheme, error_type)
            if known == method and len(self._series) < 2000:
                self._series[key] = series
        series.observe(seconds)
