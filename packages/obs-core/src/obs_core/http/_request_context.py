"""The context that the log entries of a request share."""

import re
from collections.abc import Mapping
from os import urandom
from types import TracebackType
from typing import Any, Final, Self

from .._context import bind, parse_traceparent

REQUEST_ID_HEADER: Final = "x-request-id"
_SANE: Final = re.compile(r"[!-~]{1,128}")


class RequestContext:
    """Binds `request_id`, `trace_id` and `span_id` inside a `with`; `request_id` goes into the response."""

    __slots__ = ("_bound", "request_id", "trace_id")

    def __init__(self, headers: Mapping[str, str]) -> None:
        given = headers.get(REQUEST_ID_HEADER, "")
        self.request_id = given if _SANE.fullmatch(given) else urandom(16).hex()
        parent = parse_traceparent(headers.get("traceparent", ""))
        self.trace_id, span_id = parent or (urandom(16).hex(), "")
        self._bound: Any = bind(request_id=self.request_id, trace_id=self.trace_id, span_id=span_id)

    def __enter__(self) -> Self:
        self._bound.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bound.__exit__(kind, error, traceback)


def request_context(headers: Mapping[str, str]) -> RequestContext:
    """The context of a request with these headers (lower-case names; only two are looked at).

    `x-request-id` is taken over where it is 1 to 128 visible ASCII characters, else made; the trace is
    that of the W3C `traceparent`, else a new one.
    """
    return RequestContext(headers)
