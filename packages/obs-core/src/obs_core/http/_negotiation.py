"""Content negotiation (RFC 9110, 12.5)."""

import zlib

_GZIP_FORMAT = 31  # zlib's window of 15 bits, 16 more for the gzip container


def accepts_gzip(header: str) -> bool:
    """Whether an `Accept-Encoding` takes gzip, and at least as gladly as an identity that it names."""
    weights: dict[str, float] = {}
    for part in header.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weights[name] = _weight(parameters)
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0.0 and gzip >= weights.get("identity", 0.0)


def gzip(body: bytes) -> bytes:
    """The body in gzip, by the fastest level: a scrape is sent once and thrown away."""
    return zlib.compress(body, 1, _GZIP_FORMAT)


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
