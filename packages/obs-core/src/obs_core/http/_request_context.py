"""The context that the log entries of a request share."""

import os
import re
from collections.abc import Mapping
from contextvars import Token
from random import Random
from types import TracebackType
from typing import Any, Final, Self

from .._context import _CONTEXT, parse_traceparent

REQUEST_ID_HEADER: Final = "x-request-id"
_SANE: Final = re.compile(r"[!-~]{1,128}")
# An identifier must be unique, not secret: a generator of our own is ten times cheaper than the kernel's, and
# what the application does with `random.seed` does not touch it. A forked child must not repeat its parent's.
_identifiers: Final = Random()  # noqa: S311
_random_bits: Final = _identifiers.getrandbits
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_identifiers.seed)


class RequestContext:
    """Binds `request_id`, `trace_id` and `span_id` inside a `with`; `request_id` goes into the response."""

    __slots__ = ("_token", "attributes", "request_id", "trace_id")

    def __init__(self, request_id: str, traceparent: str) -> None:
        self.attributes = request_attributes(request_id, traceparent)
        self.request_id: str = self.attributes["request_id"]
        self.trace_id: str = self.attributes["trace_id"]
        self._token: Token[dict[str, Any]] | None = None

    def __enter__(self) -> Self:
        self._token = enter(self.attributes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            leave(self._token)
            self._token = None


def request_context(headers: Mapping[str, str]) -> RequestContext:
    """The context of a request with these headers (lower-case names; only two are looked at).

    `x-request-id` is taken over where it is 1 to 128 visible ASCII characters, else made; the trace is
    that of the W3C `traceparent`, else a new one.
    """
    return RequestContext(headers.get(REQUEST_ID_HEADER, ""), headers.get("traceparent", ""))


def request_attributes(request_id: str = "", traceparent: str = "") -> dict[str, str]:
    """What is bound for a request with these two headers, empty where it has none: a new dictionary.

    A request that brings neither has one identifier for both, which is also the cheapest.
    """
    made = _random_bits(128).to_bytes(16).hex()  # formatting costs three times as much
    if not request_id and not traceparent:
        return {"request_id": made, "trace_id": made, "span_id": ""}
    trace_id, span_id = parse_traceparent(traceparent) or (made, "")
    if _SANE.fullmatch(request_id):
        made = request_id
    return {"request_id": made, "trace_id": trace_id, "span_id": span_id}


def enter(attributes: dict[str, Any]) -> Token[dict[str, Any]]:
    """Bind these attributes from here on; `leave` takes them off. The dictionary is not to be changed any more."""
    outer = _CONTEXT.get()
    return _CONTEXT.set({**outer, **attributes} if outer else attributes)


def leave(token: Token[dict[str, Any]]) -> None:
    """Take off what was entered; in another context, as of an abandoned generator, there is nothing to take off."""
    try:  # noqa: SIM105  # each request comes through here, and `suppress` costs more than all the rest
        _CONTEXT.reset(token)
    except ValueError:
        pass
