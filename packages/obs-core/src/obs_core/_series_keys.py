"""Series keys: an exposed name with its labels, as in `orders_total{plan="pro"}` (text format 0.0.4)."""

import re
from collections.abc import Mapping
from functools import lru_cache
from math import inf
from typing import Final

_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
_LABEL: Final = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?')
_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_NOT_NAME: Final = re.compile(r"[^a-zA-Z0-9_:]")
_UNESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


def series_key(name: str, labels: Mapping[str, str]) -> str:
    """The key of a series; label values are escaped, and made valid UTF-8."""
    if not labels:
        return name
    pairs = ",".join(f'{label}="{_escape(value)}"' for label, value in labels.items())
    return f"{name}{{{pairs}}}"


def parse_series_key(key: str) -> tuple[str, dict[str, str]]:
    """The name and the labels of a key: the inverse of `series_key`."""
    name, brace, rest = key.partition("{")
    if not brace:
        return name, {}
    return name, {match[1]: _UNESCAPE.sub(_unescaped, match[2]) for match in _LABEL.finditer(rest)}


def bound_text(bound: float) -> str:
    """The value of `le` for a bound, as Prometheus itself writes it, so that dashboards find the same one.

    1.0 is `1.0` and a million is `1e+06`: from there on Go uses exponents, Python much later.
    """
    if bound in (inf, -inf):
        return "+Inf" if bound > 0 else "-Inf"
    text = repr(float(bound))
    dot = text.find(".")
    if bound > 0 and dot > 6:
        mantissa = f"{text[0]}.{text[1:dot]}{text[dot + 1 :]}".rstrip("0.")
        return f"{mantissa}e+{dot - 1:02d}"
    return text


@lru_cache(maxsize=4096)
def safe_name(name: str) -> str:
    """A name that both formats can hold: what may not stand in one becomes `_`.

    Names that were declared are so already; those of foreign records must not forge a line.
    """
    return name if _NAME.fullmatch(name) else "_" + _NOT_NAME.sub("_", name)


def safe_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels whose names both formats can hold."""
    return {safe_name(name).replace(":", "_"): value for name, value in labels.items()}


def _escape(value: object) -> str:
    if not isinstance(value, str):
        value = str(value)
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode()
    return value.translate(_ESCAPES)


def _unescaped(match: "re.Match[str]") -> str:
    return "\n" if match[1] == "n" else match[1]
