"""The bytes of the bodies of a request and its response, where they are to be measured."""

from typing import Any, Final

from django.http.response import HttpResponse, HttpResponseBase

from obs_core.http import RequestMetrics

_DIGITS: Final = 16


class Sizes:
    """Those of one request; of its body, what its header says."""

    __slots__ = ("_metrics", "_of", "_received")

    def __init__(self, metrics: RequestMetrics, request: Any) -> None:
        self._metrics = metrics
        self._of = request.method, request.scheme
        self._received = _length(request.META.get("CONTENT_LENGTH"))

    def count(self, route: str, status: int, sent: int, error_type: str) -> None:
        method, scheme = self._of
        self._metrics.sized(method, route, status, scheme, self._received, sent, error_type)


def sent_of(response: HttpResponseBase) -> int:
    """The bytes of a response that is no stream; of a file, what its header says."""
    if isinstance(response, HttpResponse):
        return len(response.content)
    return _length(response.headers.get("Content-Length"))


def _length(text: str | None) -> int:
    # `isdecimal` alone takes digits of other scripts, which are no length.
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < _DIGITS else 0
