"""Content negotiation (RFC 9110, 12.5)."""

import re
import zlib

# Scrapers send a few hundred characters; the pattern takes time by the square.
_MAX_ACCEPT = 1024
_COMMA = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)')
_GZIP_FORMAT = 31  # zlib's window of 15 bits, 16 more for the gzip container


def accepts_gzip(header: str) -> bool:
    """Whether an `Accept-Encoding` takes gzip, and at least as gladly as an identity that it names."""
    weights: dict[str, float] = {}
    for part in header.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weights[name] = _weight(parameters)
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0.0 and gzip >= weights.get("identity", 0.0)


def prefers_openmetrics(header: str) -> bool:
    """Whether an `Accept` takes OpenMetrics 1.0 more gladly than Prometheus text 0.0.4.

    For each the most specific range that covers it decides, and of equals the first. Where the header takes
    neither, text is sent all the same: a scraper can read that, and a 406 helps nobody.
    """
    ranges = [_media_range(part) for part in _split(header[:_MAX_ACCEPT].lower()) if part.strip()]
    openmetrics = _quality(ranges, "application", "openmetrics-text", "1.0.0")
    return openmetrics > _quality(ranges, "text", "plain", "0.0.4")


def gzip(body: bytes) -> bytes:
    """The body in gzip, by the fastest level: a scrape is sent once and thrown away."""
    return zlib.compress(body, 1, _GZIP_FORMAT)


_Range = tuple[str, str, dict[str, str], float]


def _split(header: str) -> list[str]:
    # A comma inside a quoted parameter separates nothing.
    return _COMMA.split(header)


def _media_range(part: str) -> _Range:
    name, *parameters = (piece.strip() for piece in part.split(";"))
    kind, _, subtype = name.partition("/")
    named = {
        key.strip(): value.strip().strip('"')
        for key, _, value in (parameter.partition("=") for parameter in parameters)
    }
    return kind, subtype, named, _weight(parameters)


def _quality(ranges: list[_Range], kind: str, subtype: str, version: str) -> float:
    """The weight of the most specific range that covers a type; 0 where none does."""
    best, quality = 0, 0.0
    for given_kind, given_subtype, parameters, weight in ranges:
        if (given_kind, given_subtype) == (kind, subtype) and parameters.get("version", version) == version:
            specific = 4 if "version" in parameters else 3
        elif (given_kind, given_subtype) == (kind, "*"):
            specific = 2
        elif (given_kind, given_subtype) == ("*", "*"):
            specific = 1
        else:
            continue
        if specific > best:
            best, quality = specific, weight
    return quality


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0.0 <= weight <= 1.0 else 0.0
    return 1.0
