"""What the endpoints and the request middleware decide: values in, values out, no framework."""

from ._access import Access, takes_a_request
from ._checks import checked_paths, checked_runtime
from ._endpoints import MAX_READINGS, MAX_SEARCHES, MAX_STREAMS, Endpoints
from ._follow import Pause
from ._messages import Request, Response
from ._parameters import MAX_LIMIT, MAX_TEXT, Parameters, parse_parameters
from ._request_context import (
    REQUEST_ID_HEADER,
    RequestContext,
    enter,
    leave,
    request_attributes,
    request_context,
)
from ._request_metrics import Kind, RequestMetrics

__all__ = [
    "MAX_LIMIT",
    "MAX_READINGS",
    "MAX_SEARCHES",
    "MAX_STREAMS",
    "MAX_TEXT",
    "REQUEST_ID_HEADER",
    "Access",
    "Endpoints",
    "Kind",
    "Parameters",
    "Pause",
    "Request",
    "RequestContext",
    "RequestMetrics",
    "Response",
    "checked_paths",
    "checked_runtime",
    "enter",
    "leave",
    "parse_parameters",
    "request_attributes",
    "request_context",
    "takes_a_request",
]
