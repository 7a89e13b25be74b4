"""The parameters of `/logs`, checked by name."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from .._errors import QueryError
from .._queries import LogQuery

DEFAULT_LIMIT: Final = 1000
MAX_LIMIT: Final = 10_000
MAX_TEXT: Final = 256
_KNOWN: Final = ("since", "until", "level", "q", "logger", "trace_id", "order", "limit", "after", "follow")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_AGO: Final = re.compile(r"(\d{1,9})([smhd])", re.ASCII)


def log_query(query_string: str, now: float) -> LogQuery:
    """The query that a query string asks for. Raises `QueryError`, which names the parameter."""
    given, attributes = _given(query_string)
    if given.get("follow", "false") != "false":
        raise QueryError("follow", "follow is not served: poll with after=CURSOR")
    return LogQuery(
        since=_time("since", given, now),
        until=_time("until", given, now),
        level=given.get("level"),
        text=_text("q", given),
        logger=_text("logger", given),
        trace_id=_text("trace_id", given),
        attributes=attributes,
        after=given.get("after", ""),
        order=given.get("order", "asc"),  # type: ignore[arg-type]  # LogQuery checks it
        limit=_limit(given.get("limit", str(DEFAULT_LIMIT))),
    )


def _given(query_string: str) -> tuple[dict[str, str], dict[str, str]]:
    given: dict[str, str] = {}
    attributes: dict[str, str] = {}
    for name, value in _pairs(query_string):
        target, key = (attributes, name[5:]) if name.startswith("attr.") else (given, name)
        if target is given and name not in _KNOWN:
            raise QueryError(
                name[:80], f"unknown parameter {name[:80]!r}: use {', '.join(_KNOWN)} or attr.NAME"
            )
        if key in target:
            raise QueryError(name[:80], f"{name[:80]} is given twice")
        target[key] = value
    return given, attributes


def _pairs(query_string: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query_string, keep_blank_values=True, max_num_fields=50, errors="replace")
    except ValueError:
        raise QueryError("query", "more than 50 parameters") from None


def _text(name: str, given: Mapping[str, str]) -> str:
    value = given.get(name, "")
    if len(value) > MAX_TEXT:
        raise QueryError(name, f"{name} has {len(value)} characters, at most {MAX_TEXT} are searched for")
    return value


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MAX_LIMIT):
        raise QueryError("limit", f"limit must be a whole number from 1 to {MAX_LIMIT}, not {text[:40]!r}")
    return int(text)


def _time(name: str, given: Mapping[str, Any], now: float) -> float | None:
    text = given.get(name)
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    if ago:
        return now - int(ago[1]) * _UNITS[ago[2]]
    try:
        seconds = float(text)
    except ValueError:
        return _moment(name, text)
    if not math.isfinite(seconds):
        raise _bad_time(name, text)
    return seconds


def _moment(name: str, text: str) -> float:
    try:
        # A plus sign of the offset that was not encoded arrives as a space.
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    except ValueError:
        raise _bad_time(name, text) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _bad_time(name: str, text: str) -> QueryError:
    return QueryError(
        name, f"{name}={text[:40]!r} is no time: use RFC 3339, Unix seconds, or 15m for that long ago"
    )
