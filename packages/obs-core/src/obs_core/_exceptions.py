"""An exception as attributes, by the OpenTelemetry conventions for exceptions in logs."""

import traceback
from types import TracebackType

from ._attributes import text_of

ExceptionInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]
MAX_STACKTRACE = 16_384


def exception_attributes(info: ExceptionInfo) -> dict[str, str]:
    """`exception.type`, `.message` and `.stacktrace` (its last 16 kB); nothing without an exception."""
    kind, error, trace = info
    if kind is None:
        return {}
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    try:
        stack = "".join(traceback.format_exception(kind, error, trace))
    except Exception:  # an exception of the host's own whose text fails
        stack = "".join(traceback.format_tb(trace))
    return {
        "exception.type": f"{module}{kind.__qualname__}",
        "exception.message": text_of(error),
        "exception.stacktrace": text_of(stack)[-MAX_STACKTRACE:],
    }
