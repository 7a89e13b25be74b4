# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
"""What it costs to write log entries as NDJSON, times and all."""

import json
from datetime import UTC, datetime

from shared.side_by_side import US, compare, timed, title

from obs_core import LogEntry, StoredLog
from obs_core.encoders import ndjson_lines

ENTRIES = 10_000


def stored(number: int) -> StoredLog:
    attributes = {"order": number, "plan": "pro", "request_id": "r" * 32}
    entry = LogEntry(
        1764000000.5 + number * 0.0037,
        "INFO",
        f"order {number} paid by a customer in time",
        attributes,
        "shop.orders",
        "a" * 32,
        "b" * 16,
    )
    return StoredLog(f"0123456789abcdef-{number}", entry)


def dumps(entries: list[StoredLog]) -> str:
    """The same lines by the standard library."""
    return "".join(
        json.dumps(
            {
                "cursor": one.cursor,
                "timestamp": datetime.fromtimestamp(one.entry.timestamp, UTC).isoformat(
                    timespec="microseconds"
                ),
                "level": one.entry.level,
                "logger": one.entry.logger,
                "message": one.entry.message,
                "attributes": one.entry.attributes,
                "trace_id": one.entry.trace_id,
                "span_id": one.entry.span_id,
            }
        )
        + "\n"
        for one in entries
    )


def main() -> None:
    entries = list(map(stored, range(ENTRIES)))
    size = len(ndjson_lines(entries)) // ENTRIES
    title(f"NDJSON lines of {size} bytes, {ENTRIES} at a time")
    names = {"entries": entries, "ndjson_lines": ndjson_lines, "dumps": dumps}
    compare(
        "10,000 lines of NDJSON",
        {US: timed("ndjson_lines(entries)", names, 3), "json.dumps": timed("dumps(entries)", names, 1)},
        "budget: 5 times faster",
    )


if __name__ == "__main__":
    main()
