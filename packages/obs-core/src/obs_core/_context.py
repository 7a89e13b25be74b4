"""What all entries of a task and those below it share, and the W3C trace context (level 1, section 3.2)."""

import re
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Final, Self

_EMPTY: Final[dict[str, Any]] = {}
_CONTEXT: Final[ContextVar[dict[str, Any]]] = ContextVar("obs_context", default=_EMPTY)
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?", re.ASCII)


class bind:  # noqa: N801  # used like a function: `with bind(request_id=...)`
    """Add attributes to every entry logged inside the block, in this task and those it starts.

    `trace_id` and `span_id` fill these fields of the entries; inner blocks win over outer ones.
    """

    __slots__ = ("_attributes", "_token")

    def __init__(self, **attributes: Any) -> None:
        self._attributes = attributes
        self._token: Token[dict[str, Any]] | None = None

    def __enter__(self) -> Self:
        self._token = _CONTEXT.set({**_CONTEXT.get(), **self._attributes})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is None:
            return
        # A ValueError says that it is left in another context than it was entered in, as an abandoned
        # generator is: that context ends by itself.
        with suppress(ValueError):
            _CONTEXT.reset(self._token)
        self._token = None


def current_context() -> dict[str, Any]:
    """What is bound here; a copy."""
    return _CONTEXT.get().copy()


# What is bound here, not to be changed. Every log entry and every observation asks, so it is the bare method.
bound: Final[Callable[[], dict[str, Any]]] = _CONTEXT.get


def parse_traceparent(header: str) -> tuple[str, str] | None:
    """The trace id and the parent's span id of a `traceparent` header, or None where it is not valid."""
    match = _TRACEPARENT.fullmatch(header.strip())
    if match is None or match[1] == "ff" or (match[1] == "00" and match[4]):
        return None
    trace_id, span_id = match[2], match[3]
    return None if trace_id == "0" * 32 or span_id == "0" * 16 else (trace_id, span_id)
