"""What is measured of every request: the OpenTelemetry HTTP conventions in Prometheus spelling."""

from collections.abc import Callable
from typing import Final

from .._families import Family
from .._instruments import Gauge, Histogram
from .._registry import Registry

UNMATCHED: Final = "_unmatched"
_METHODS: Final = {
    method: method
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "QUERY")
}
_SCHEMES: Final = {"http": "http", "https": "https"}
_OTHER: Final = "_OTHER"
_MAX_CACHED: Final = 4096
_LABELS: Final = (
    "http_request_method",
    "http_route",
    "http_response_status_code",
    "url_scheme",
    "error_type",
)
# From an empty body to the uploads that servers still take, a factor of ten each.
_SIZES: Final = (0.0, 100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9)


class RequestMetrics:
    """Counts and times requests; each `started` is followed by one `finished` or `abandoned` of the same kind.

    With `sizes` the bodies of requests and responses are measured too, by `sized`.
    """

    def __init__(self, registry: Registry, *, sizes: bool = False) -> None:
        self._durations = registry.histogram(
            "http_server_request_duration_seconds",
            "Duration of HTTP requests, until the last byte of the response was handed to the server.",
            labels=_LABELS,
        )
        self._active = registry.gauge(
            "http_server_active_requests",
            "HTTP requests that are being worked on.",
            labels=("http_request_method", "url_scheme"),
        )
        self._bodies = [
            registry.histogram(
                f"http_server_{kind}_body_size_bytes",
                f"Size of the body of HTTP {kind}s, as it was sent.",
                labels=_LABELS,
                buckets=_SIZES,
            )
            for kind in ("request", "response")
            if sizes
        ]
        self.kinds: Final = Kinds(self._active, self._durations)

    def started(self, method: str, scheme: str) -> None:
        """A request came."""
        self.kinds[method, scheme].active.inc()

    def abandoned(self, method: str, scheme: str) -> None:
        """It ended and is not to be timed."""
        self.kinds[method, scheme].active.dec()

    def finished(
        self, method: str, route: str, status: int, scheme: str, seconds: float, error_type: str = ""
    ) -> None:
        """It ended. `route` is a template, never a raw path; "" where none matched.

        `error_type` is the qualified name of the exception; without one a status from 500 on names itself.
        """
        self.kinds[method, scheme].finished(route, status, seconds, error_type)

    def sized(
        self,
        method: str,
        route: str,
        status: int,
        scheme: str,
        request_bytes: float,
        response_bytes: float,
        error_type: str = "",
    ) -> None:
        """The bodies of a request that has finished: the bytes that were received and sent."""
        labels = self.kinds[method, scheme].labels(route, status, error_type)
        for family, size in zip(self._bodies, (request_bytes, response_bytes), strict=False):
            family.labels(*labels).observe(size)


class Kinds(dict[tuple[str, str], "Kind"]):
    """What counts the requests of a method and scheme, whatever they are: a request looks it up once."""

    def __init__(self, active: Family[Gauge], durations: Family[Histogram]) -> None:
        self._active = active
        self._durations = durations

    def __missing__(self, key: tuple[str, str]) -> "Kind":
        method, scheme = key
        known = _METHODS.get(method, _OTHER), _SCHEMES.get(scheme, _OTHER)
        kind = Kind(*known, self._active.labels(*known), self._durations)
        # What a client makes up must not fill the memory.
        return self.setdefault(key, kind) if known == key else kind


class Kind:
    """Requests of one method and scheme."""

    __slots__ = ("_durations", "_method", "_observers", "_scheme", "active")

    def __init__(self, method: str, scheme: str, active: Gauge, durations: Family[Histogram]) -> None:
        self._method = method
        self._scheme = scheme
        self._durations = durations
        self._observers: dict[tuple[str, int, str], Callable[[float], None]] = {}
        self.active = active

    def finished(self, route: str, status: int, seconds: float, error_type: str = "") -> None:
        """One of them ended, as in `RequestMetrics.finished`."""
        self.active.dec()
        key = (route, status, error_type)
        (self._observers.get(key) or self._observer(key))(seconds)

    def labels(self, route: str, status: int, error_type: str) -> tuple[str, str, str, str, str]:
        """The values of the labels, in their order."""
        if not error_type and status >= 500:
            error_type = str(status)
        return self._method, route or UNMATCHED, str(status), self._scheme, error_type

    def _observer(self, key: tuple[str, int, str]) -> Callable[[float], None]:
        observe = self._durations.labels(*self.labels(*key)).observe
        if len(self._observers) < _MAX_CACHED:
            self._observers[key] = observe
        return observe
