"""What the endpoints and the request middleware decide: values in, values out, no framework."""

from ._access import Access
from ._endpoints import Endpoints
from ._messages import Request, Response
from ._parameters import MAX_LIMIT, MAX_TEXT, parse_parameters
from ._request_context import REQUEST_ID_HEADER, RequestContext, request_context
from ._request_metrics import RequestMetrics

__all__ = [
    "MAX_LIMIT",
    "MAX_TEXT",
    "REQUEST_ID_HEADER",
    "Access",
    "Endpoints",
    "Request",
    "RequestContext",
    "RequestMetrics",
    "Response",
    "parse_parameters",
    "request_context",
]
