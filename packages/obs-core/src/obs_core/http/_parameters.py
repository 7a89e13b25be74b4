"""The parameters of `/logs`."""

import re
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from .._errors import QueryError
from .._levels import LEVELS, parse_level
from .._queries import LogQuery

MAX_LIMIT: Final = 10_000
MAX_TEXT: Final = 256
_DEFAULT_LIMIT: Final = 1_000
_MAX_FIELDS: Final = 32
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_AGO: Final = re.compile(r"([0-9]{1,9})([smhd])")
_UNIX: Final = re.compile(r"[0-9]{1,11}(\.[0-9]{1,9})?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# An unescaped `+` of a zone arrives as a blank.
_RFC3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?)([Zz]|[-+ ][0-9]{2}:[0-9]{2})"
)
_TEXTS: Final = {"q": "text", "logger": "logger", "trace_id": "trace_id", "after": "after"}
_KNOWN: Final = ("since", "until", "level", *_TEXTS, "order", "limit", "follow")


class Parameters(msgspec.Struct, frozen=True):
    """What is asked of `/logs`: the query, and whether to go on with what is stored later."""

    query: LogQuery
    follow: bool = False


def parse_parameters(query_string: str, now: float) -> Parameters:
    """What a query string asks for; `15m` means that long before `now`, a date alone its beginning in UTC.

    Raises `QueryError`, which names the parameter, for one that is unknown, repeated or wrong.
    """
    asked: dict[str, Any] = {"limit": _DEFAULT_LIMIT}
    attributes: dict[str, str] = {}
    follow = False
    for name, value in _fields(query_string):
        if name.startswith("attr."):
            attributes[_attribute(name)] = _text(name, value)
        elif name in _TEXTS:
            asked[_TEXTS[name]] = _text(name, value)
        elif name in ("since", "until"):
            asked[name] = _time(name, value, now)
        elif name == "level":
            asked[name] = _level(value)
        elif name == "limit":
            asked[name] = _limit(value)
        elif name == "order":
            asked[name] = _one_of(name, value, ("asc", "desc"))
        else:
            follow = _one_of(name, value, ("true", "false")) == "true"
    if asked.get("since", 0.0) > asked.get("until", float("inf")):
        raise QueryError("since", "since is after until: nothing can be between")
    if follow and asked.get("order") == "desc":
        raise QueryError("order", "following goes from the oldest to the newest: leave order out")
    return Parameters(LogQuery(attributes=attributes, **asked), follow)


def _fields(query_string: str) -> list[tuple[str, str]]:
    try:
        fields = parse_qsl(query_string, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise QueryError("query", f"at most {_MAX_FIELDS} parameters are taken") from None
    seen: set[str] = set()
    for name, value in fields:
        if not name:
            raise QueryError("query", f"a parameter has no name: ={_cut(value)}")
        if name not in _KNOWN and not name.startswith("attr."):
            known = ", ".join(_KNOWN)
            raise QueryError(_cut(name), f"unknown parameter {_cut(name)!r}: use {known} or attr.NAME")
        if name in seen:
            raise QueryError(_cut(name), f"{_cut(name)} is given more than once")
        seen.add(name)
    return fields


def _text(name: str, value: str) -> str:
    if len(value) > MAX_TEXT:
        raise QueryError(
            _cut(name), f"{_cut(name)} has {len(value)} characters: at most {MAX_TEXT} are taken"
        )
    return value


def _attribute(name: str) -> str:
    if not name[5:]:
        raise QueryError(name, "attr. needs the name of an attribute, as in attr.order=7")
    return _text(name, name[5:])


def _time(name: str, value: str, now: float) -> float:
    if match := _AGO.fullmatch(value):
        return now - int(match[1]) * _SECONDS[match[2]]
    if _UNIX.fullmatch(value):
        return float(value)
    if match := _RFC3339.fullmatch(f"{value}T00:00:00Z" if _DATE.fullmatch(value) else value):
        zone = match[3].upper().replace(" ", "+")
        try:
            return datetime.fromisoformat(f"{match[1]}T{match[2]}{zone}").timestamp()
        except (ValueError, OverflowError):
            pass
    raise QueryError(
        name,
        f"{_cut(value)!r} is no time: use 2026-01-31T12:00:00Z, 2026-01-31 (its beginning in UTC), Unix seconds, "
        "or 15m (s, m, h, d) for that long ago",
    )


def _level(value: str) -> str:
    level = parse_level(value)
    if level is None:
        raise QueryError("level", f"unknown level {_cut(value)!r}: use one of {', '.join(LEVELS)}")
    return level


def _limit(value: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", value) or not 1 <= int(value) <= MAX_LIMIT:
        raise QueryError("limit", f"limit must be a whole number from 1 to {MAX_LIMIT}, not {_cut(value)!r}")
    return int(value)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise QueryError(name, f"{name} must be {' or '.join(allowed)}, not {_cut(value)!r}")
    return value


def _cut(value: str) -> str:
    return value if len(value) <= 64 else value[:64] + "…"
