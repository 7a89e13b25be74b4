"""Series keys: an exposed name with its labels, as in `orders_total{plan="pro"}` (text format 0.0.4)."""

import re
from collections.abc import Mapping
from typing import Final

_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
_LABEL: Final = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?')
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


def _escape(value: str) -> str:
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode()
    return value.translate(_ESCAPES)


def _unescaped(match: "re.Match[str]") -> str:
    return "\n" if match[1] == "n" else match[1]
