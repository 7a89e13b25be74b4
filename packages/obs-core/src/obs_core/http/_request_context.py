"""What all entries of one request share."""

import os
import re
from collections.abc import Mapping
from typing import Final

from .._context import bind, parse_traceparent

_SANE: Final = re.compile(r"[\x21-\x7e]{1,128}")


class RequestContext(bind):
    """Binds `request_id`, `trace_id` and `span_id` for a request; a context manager."""

    __slots__ = ("request_id",)

    def __init__(self, request_id: str, trace_id: str, span_id: str) -> None:
        self.request_id = request_id
        super().__init__(request_id=request_id, trace_id=trace_id, span_id=span_id)


def request_context(headers: Mapping[str, str]) -> RequestContext:
    """The context of a request: an `x-request-id` of 1 to 128 visible ASCII characters and a valid `traceparent` are
    taken over, else made new."""
    given = headers.get("x-request-id", "")
    parent = parse_traceparent(headers["traceparent"]) if "traceparent" in headers else None
    trace_id, span_id = parent or (os.urandom(16).hex(), "")
    return RequestContext(given if _SANE.fullmatch(given) else os.urandom(16).hex(), trace_id, span_id)
