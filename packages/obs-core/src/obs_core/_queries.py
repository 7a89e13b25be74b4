"""What may be asked of a storage, and whether a record answers it."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from ._errors import QueryError
from ._levels import SEVERITY, parse_level
from ._records import LogEntry, MetricSample

Order = Literal["asc", "desc"]


class LogQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries, in the order of storing (`asc`) or newest first (`desc`).

    `since` is inclusive and `until` exclusive, both by timestamp. `level` means this severity or
    worse. `text` is a case-insensitive substring of the message, and of nothing else. `attributes` maps a
    name to the whole text of its value, as it was written: 40.0 is not 40. `after` is a cursor, exclusive:
    with `desc` it means older. `limit` counts entries; None means all. `progress` is called now and then,
    where nothing is held, with the cursor up to which all was looked at; what it raises ends the reading.
    Raises `QueryError` for a value that cannot be.
    """

    since: float | None = None
    until: float | None = None
    level: str | None = None
    text: str = ""
    logger: str = ""
    trace_id: str = ""
    attributes: Mapping[str, str] = {}
    after: str = ""
    order: Order = "asc"
    limit: int | None = None
    progress: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        if self.level is not None and parse_level(self.level) is None:
            raise QueryError("level", f"unknown level {self.level!r}: use one of {', '.join(SEVERITY)}")
        if self.limit is not None and self.limit < 1:
            raise QueryError("limit", f"limit must be at least 1, not {self.limit}")
        if self.order not in ("asc", "desc"):
            raise QueryError("order", f"order must be asc or desc, not {self.order!r}")

    @property
    def severity(self) -> int:
        """The least severity number that is asked for; 0 where all are."""
        return SEVERITY[parse_level(self.level) or "TRACE"] if self.level else 0


class MetricQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which samples: of this name (empty: all), with at least these labels, `since` inclusive, `until` exclusive."""

    name: str = ""
    labels: Mapping[str, str] = {}
    since: float | None = None
    until: float | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise QueryError("limit", f"limit must be at least 1, not {self.limit}")


def matches_log(query: LogQuery, entry: LogEntry) -> bool:
    """Whether an entry answers all of a query but `after`, `order` and `limit`."""
    return (
        (query.since is None or entry.timestamp >= query.since)
        and (query.until is None or entry.timestamp < query.until)
        and SEVERITY.get(entry.level, 0) >= query.severity
        and (not query.logger or _within_logger(entry.logger, query.logger))
        and (not query.trace_id or entry.trace_id == query.trace_id)
        and (not query.text or query.text.casefold() in entry.message.casefold())
        and all(
            name in entry.attributes and attribute_text(entry.attributes[name]) == value
            for name, value in query.attributes.items()
        )
    )


def matches_metric(query: MetricQuery, sample: MetricSample) -> bool:
    """Whether a sample answers all of a query but `limit`."""
    return (
        (not query.name or sample.name == query.name)
        and (query.since is None or sample.timestamp >= query.since)
        and (query.until is None or sample.timestamp < query.until)
        and all(sample.labels.get(name) == value for name, value in query.labels.items())
    )


def attribute_text(value: Any) -> str:
    """The text that `attr.NAME=` compares with: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _within_logger(name: str, asked: str) -> bool:
    # Like the hierarchy of `logging`: "shop" asks for "shop.orders" too.
    return name == asked or name.startswith(asked + ".")
