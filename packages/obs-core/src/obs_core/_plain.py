"""The logging calls that nearly all are: text, and attributes that are clean as they are. Runs no code of the host.

What cannot be told so quickly is None, and takes the longer way of `_entries`.
"""

from logging import LogRecord, makeLogRecord
from typing import Any, Final

from ._attributes import DICT, HEAD, MAX_NAME, add_plain

IDS: Final = frozenset({"trace_id", "span_id"})
# How many fields a record has that nobody added to.
USUAL: Final = len(vars(makeLogRecord({})))
_STANDARD: Final = frozenset(vars(makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_CONTEXTS: Final = 64
_MAX_CONTEXT: Final = 10_000

# Bytes of memory, then attributes, trace and span.
Plain = tuple[int, dict[str, Any], str, str]
# By `id`, with the context itself, so that no other can have its place meanwhile.
_contexts: dict[int, tuple[dict[str, Any], Plain]] = {}
_NOTHING: Final[tuple[dict[str, Any], Plain]] = {}, (DICT, {}, "", "")


def plain_message(message: object, arguments: object) -> str | None:
    """The message with its arguments where that runs no code of the host; None where it may, or fails."""
    if type(message) is str and type(arguments) is tuple and _SCALARS.issuperset(map(type, arguments)):
        try:
            return message % arguments
        except (TypeError, ValueError, OverflowError):  # said in the message by the longer way
            return None
    return None


def extra_names(record: LogRecord) -> list[Any]:
    """The names of what was given as `extra`, or added by a filter."""
    fields = record.__dict__
    if type(record) is LogRecord and "message" not in fields:
        return [*fields][USUAL:]  # a record makes its own fields first
    # One of another class may have them in any order; and what a formatter adds is left out, where another handler
    # has formatted the record before.
    return [name for name in fields if name not in _STANDARD]


def plain_context(context: dict[str, Any]) -> Plain | None:
    """What is bound as fields of an entry, where all of it is plain. The attributes are to be copied, not changed."""
    known = _contexts.get(id(context)) if context else _NOTHING
    if known is None or (context and known[0] is not context):
        return _remember(context)
    return known[1]


def _remember(context: dict[str, Any]) -> Plain | None:
    """Most entries of a request share a context, so that the last few are kept."""
    attributes: dict[str, Any] = {}
    trace_id, span_id = context.get("trace_id", ""), context.get("span_id", "")
    more = add_plain(attributes, context, [name for name in context if name not in IDS])
    if more < 0 or not (_is_id(trace_id) and _is_id(span_id)):
        return None
    plain = DICT + more + len(trace_id) + len(span_id) + 2 * HEAD, attributes, trace_id, span_id
    if plain[0] <= _MAX_CONTEXT:
        if len(_contexts) >= _CONTEXTS:
            _contexts.clear()
        _contexts[id(context)] = context, plain
    return plain


def _is_id(value: object) -> bool:
    return type(value) is str and len(value) <= MAX_NAME and value.isascii()
