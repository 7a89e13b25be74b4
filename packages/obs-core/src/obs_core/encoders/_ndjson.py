"""Log entries as newline-delimited JSON: one line for each, UTF-8, in a fixed order of keys."""

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from math import floor, isfinite
from typing import Any, Final

import msgspec

from .._attributes import clean, valid_text
from .._records import LogEntry, StoredLog
from ._streams import each

_CHUNK: Final = 64 * 1024
_ENCODE: Final = msgspec.json.Encoder().encode
_FIRST: Final = datetime(1, 1, 1, tzinfo=UTC).timestamp()
_LAST: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
# Valid in JSON, yet some readers split lines on them or obey them: DEL, the C1 controls, U+2028, U+2029.
_RISKY: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]")


async def encode_ndjson(
    records: AsyncIterable[LogEntry | StoredLog] | Iterable[LogEntry | StoredLog],
) -> AsyncIterator[bytes]:
    """Stream lines in chunks of about 64 kB; a stored entry has its cursor first."""
    chunk = bytearray()
    async for record in each(records):
        chunk += _line(record)
        if len(chunk) >= _CHUNK:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)


def ndjson_lines(records: Iterable[LogEntry | StoredLog]) -> bytes:
    """The lines of all these entries."""
    return b"".join(map(_line, records))


def rfc3339(timestamp: float) -> str:
    """RFC 3339 in UTC with microseconds; what lies outside the years 1 to 9999 is clamped, NaN is 1970."""
    if not isfinite(timestamp):
        timestamp = 0.0 if timestamp != timestamp else (_LAST if timestamp > 0 else _FIRST)
    timestamp = min(max(timestamp, _FIRST), _LAST)
    second = floor(timestamp)
    micros = round((timestamp - second) * 1_000_000)
    if micros == 1_000_000:
        second, micros = second + 1, 0
    return f"{_second(second)}.{micros:06d}Z"


@lru_cache(maxsize=256)
def _second(second: int) -> str:
    moment = datetime.fromtimestamp(second, UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="seconds")


def _line(record: LogEntry | StoredLog) -> bytes:
    if type(record) is StoredLog:
        cursor, entry = record.cursor, record.entry
    else:
        cursor, entry = "", record  # type: ignore[assignment]
    fields: dict[str, Any] = {"cursor": cursor} if cursor else {}
    fields["timestamp"] = rfc3339(entry.timestamp)
    fields["level"] = entry.level
    fields["logger"] = entry.logger
    fields["message"] = entry.message
    fields["attributes"] = entry.attributes
    if entry.trace_id:
        fields["trace_id"] = entry.trace_id
    if entry.span_id:
        fields["span_id"] = entry.span_id
    try:
        line = _ENCODE(fields)
    except (TypeError, ValueError, RecursionError, OverflowError):
        line = _ENCODE(_mended(fields))
    if _RISKY.search(line):
        line = _RISKY.sub(_escaped, line)
    return line + b"\n"


def _mended(fields: dict[str, Any]) -> dict[str, Any]:
    # Rare: an entry that did not come through capture may hold what JSON cannot.
    attributes = clean(fields["attributes"])
    texts = {name: valid_text(str(value)) for name, value in fields.items() if name != "attributes"}
    return {name: attributes if name == "attributes" else texts[name] for name in fields}


def _escaped(match: "re.Match[bytes]") -> bytes:
    return f"\\u{ord(match[0].decode()):04x}".encode()
