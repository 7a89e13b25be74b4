"""Attributes as JSON: what JSON cannot hold becomes text, so that no value ever breaks a line."""

from collections.abc import Mapping, Set
from math import isfinite
from typing import Any, Final

MAX_DEPTH: Final = 8
MAX_TEXT: Final = 65_536
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1


def clean(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """A copy that holds JSON alone; never raises, and shares nothing mutable with what was given.

    Deeper than 8 levels, cycles too, reads `<too deep>`; non-finite floats, integers over 64 bits, bytes,
    dates and all other objects become their text.
    """
    return {_key(key): _value(value, 1) for key, value in list(attributes.items())}


def valid_text(text: str) -> str:
    """Text that UTF-8 can hold: a lone surrogate becomes `?`."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


def text_of(value: object) -> str:
    """`str(value)`, or `<unprintable TYPE>` where that fails."""
    try:
        return valid_text(str(value))
    except Exception:  # whatever the host's __str__ raises is not the host's failure here
        return f"<unprintable {type(value).__name__}>"


def _key(key: Any) -> str:
    return valid_text(key) if type(key) is str else text_of(key)


def _value(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is str:
        return valid_text(value)
    if kind is bool or value is None:
        return value
    if kind is int:
        return value if _SMALLEST <= value <= _LARGEST else _large(value)
    if kind is float:
        return value if isfinite(value) else str(value)
    if isinstance(value, Mapping | list | tuple | Set):
        return _container(value, depth)
    if kind is bytes or kind is bytearray:
        return bytes(value).decode("utf-8", "replace")
    return text_of(value)


def _container(value: Any, depth: int) -> Any:
    if depth >= MAX_DEPTH:
        return "<too deep>"
    try:
        if isinstance(value, Mapping):
            return {_key(key): _value(item, depth + 1) for key, item in list(value.items())}
        return [_value(item, depth + 1) for item in list(value)]
    except Exception:  # a container of the host's own making that fails, or changes in another thread
        return text_of(value)


def _large(value: int) -> str:
    # Python refuses to print integers of over 4,300 digits in decimal; in hexadecimal it never does.
    try:
        return str(value)
    except ValueError:
        return hex(value)[:MAX_TEXT]
