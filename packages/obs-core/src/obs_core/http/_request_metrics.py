"""What is measured of every request: the OpenTelemetry HTTP conventions in Prometheus spelling."""

from collections.abc import Callable
from typing import Final

from .._registry import Registry

UNMATCHED: Final = "_unmatched"
_METHODS: Final = {
    method: method
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "QUERY")
}
_SCHEMES: Final = {"http": "http", "https": "https"}
_OTHER: Final = "_OTHER"
_MAX_CACHED: Final = 4096


class RequestMetrics:
    """Counts and times requests; each `started` is followed by one `finished` of the same method and scheme."""

    def __init__(self, registry: Registry) -> None:
        self._durations = registry.histogram(
            "http_server_request_duration_seconds",
            "Duration of HTTP requests, until the last byte of the response was handed to the server.",
            labels=(
                "http_request_method",
                "http_route",
                "http_response_status_code",
                "url_scheme",
                "error_type",
            ),
        )
        self._active = registry.gauge(
            "http_server_active_requests",
            "HTTP requests that are being worked on.",
            labels=("http_request_method", "url_scheme"),
        )
        self._observers: dict[tuple[str, str, int, str, str], Callable[[float], None]] = {}

    def started(self, method: str, scheme: str) -> None:
        """A request came."""
        self._active.labels(_METHODS.get(method, _OTHER), _SCHEMES.get(scheme, _OTHER)).inc()

    def finished(
        self, method: str, route: str, status: int, scheme: str, seconds: float, error_type: str = ""
    ) -> None:
        """It ended. `route` is a template, never a raw path; "" where none matched.

        `error_type` is the qualified name of the exception; without one a status from 500 on names itself.
        """
        self.abandoned(method, scheme)
        method, scheme = _METHODS.get(method, _OTHER), _SCHEMES.get(scheme, _OTHER)
        key = (method, route, status, scheme, error_type)
        observe = self._observers.get(key)
        (observe or self._observer(key))(seconds)

    def abandoned(self, method: str, scheme: str) -> None:
        """It ended and is not to be timed."""
        self._active.labels(_METHODS.get(method, _OTHER), _SCHEMES.get(scheme, _OTHER)).dec()

    def _observer(self, key: tuple[str, str, int, str, str]) -> Callable[[float], None]:
        method, route, status, scheme, error_type = key
        if not error_type and status >= 500:
            error_type = str(status)
        observe = self._durations.labels(method, route or UNMATCHED, str(status), scheme, error_type).observe
        if len(self._observers) < _MAX_CACHED:
            self._observers[key] = observe
        return observe
