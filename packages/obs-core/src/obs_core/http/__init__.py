"""The HTTP decisions: values in, values out, no framework and no I/O but the token's file."""

from ._access import Access
from ._endpoints import Endpoints
from ._messages import Request, Response, unavailable
from ._request_context import request_context
from ._request_metrics import CLIENT_GONE, RequestMetrics

__all__ = [
    "CLIENT_GONE",
    "Access",
    "Endpoints",
    "Request",
    "RequestMetrics",
    "Response",
    "request_context",
    "unavailable",
]
