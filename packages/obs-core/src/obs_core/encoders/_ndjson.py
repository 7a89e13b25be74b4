"""Log entries as newline-delimited JSON: one line for each, UTF-8, in a fixed order of keys."""

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from .._attributes import clean, text_of
from .._records import LogEntry, StoredLog
from ._streams import each

_CHUNK: Final = 64 * 1024
_USUAL_LINE: Final = 300  # what a line has beside its message
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = datetime(1, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
# Valid in JSON, yet some readers split lines on them or obey them: DEL, the C1 controls, U+2028, U+2029.
_RISKY: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]")

_ENCODER: Final = msgspec.json.Encoder()
_moment_of: Final = datetime.fromtimestamp


class _Line(msgspec.Struct, omit_defaults=True, gc=False):
    timestamp: Any
    level: str
    logger: str
    message: str
    attributes: dict[str, Any]
    trace_id: str = ""
    span_id: str = ""


class _StoredLine(msgspec.Struct, omit_defaults=True, gc=False):
    cursor: str
    timestamp: Any
    level: str
    logger: str
    message: str
    attributes: dict[str, Any]
    trace_id: str = ""
    span_id: str = ""


async def encode_ndjson(
    records: AsyncIterable[LogEntry | StoredLog] | Iterable[LogEntry | StoredLog],
) -> AsyncIterator[bytes]:
    """Stream lines in chunks of about 64 kB; a stored entry has its cursor first."""
    gathered: list[LogEntry | StoredLog] = []
    size = 0
    async for record in each(records):
        gathered.append(record)
        entry = record.entry if type(record) is StoredLog else record
        size += len(entry.message) + _USUAL_LINE  # type: ignore[union-attr]
        if size >= _CHUNK:
            yield ndjson_lines(gathered)
            gathered, size = [], 0
    if gathered:
        yield ndjson_lines(gathered)


def ndjson_lines(records: Iterable[LogEntry | StoredLog]) -> bytes:
    """The lines of all these entries."""
    lines = list(map(_line, records))
    try:
        text = _ENCODER.encode_lines(lines)
    except (TypeError, ValueError, RecursionError, OverflowError):
        text = b"".join(map(_mended, lines))
    if text.isascii() and b"\x7f" not in text:
        return text
    return _RISKY.sub(_escaped, text)


def rfc3339(timestamp: float) -> str:
    """RFC 3339 in UTC with microseconds; what lies outside the years 1 to 9999 is clamped, NaN is 1970."""
    return _moment(timestamp).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _line(record: LogEntry | StoredLog) -> "_Line | _StoredLine":
    entry: LogEntry = record.entry if type(record) is StoredLog else record  # type: ignore[assignment]
    moment: Any = _moment(entry.timestamp)
    if not moment.microsecond:  # the encoder would leave the fraction out
        moment = rfc3339(entry.timestamp)
    rest = (moment, entry.level, entry.logger, entry.message, entry.attributes, entry.trace_id, entry.span_id)
    return _StoredLine(record.cursor, *rest) if type(record) is StoredLog else _Line(*rest)


def _moment(timestamp: float) -> datetime:
    try:
        return _moment_of(timestamp, UTC)
    except (ValueError, OverflowError, OSError):
        if timestamp != timestamp:
            return _EPOCH
    # Out of range; or before 1970 on Windows, which knows no such time.
    try:
        return max(_EPOCH + timedelta(seconds=timestamp), _FIRST)
    except OverflowError:
        return _LAST if timestamp > 0 else _FIRST


def _mended(line: "_Line | _StoredLine") -> bytes:
    # Rare: an entry that did not come through capture may hold what JSON cannot.
    try:
        return _ENCODER.encode(line) + b"\n"
    except (TypeError, ValueError, RecursionError, OverflowError):
        line.attributes = clean(line.attributes)
        for name in _texts(line):
            setattr(line, name, text_of(getattr(line, name)))
        return _ENCODER.encode(line) + b"\n"


def _texts(line: "_Line | _StoredLine") -> Sequence[str]:
    return [name for name in line.__struct_fields__ if name not in ("attributes", "timestamp")]


def _escaped(match: "re.Match[bytes]") -> bytes:
    return f"\\u{ord(match[0].decode()):04x}".encode()
