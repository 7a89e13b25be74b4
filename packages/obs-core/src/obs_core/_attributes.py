"""Attributes as JSON: what JSON cannot hold becomes text, so that no value ever breaks a line."""

from collections.abc import Callable, Iterator, Mapping, Set
from itertools import islice
from math import isfinite
from sys import getsizeof
from typing import Any, Final, TypeVar

MAX_DEPTH: Final = 8
MAX_ITEMS: Final = 1000
MAX_TEXT: Final = 65_536
CUT: Final = "<cut>"
_SCALAR: Final = 8
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
T = TypeVar("T")
_texts: dict[type, Callable[[Any], object]] = {}


def describe(kind: type[T], text: Callable[[T], object]) -> None:
    """Write attributes of this type, and of those derived from it, as the text of `text(value)`.

    For objects whose own text says too much, as that of a request does with its query string.
    """
    _texts[kind] = text


def clean(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """A copy that holds JSON alone; never raises, and shares nothing mutable with what was given.

    Deeper than 8 levels, cycles too, reads `<too deep>`, and after 1,000 items in one attribute `<cut>`;
    non-finite floats, integers over 64 bits, bytes, dates and all other objects become their text.
    """
    return measured(attributes)[0]


def measured(attributes: Mapping[Any, Any]) -> tuple[dict[str, Any], int]:
    """The copy that `clean` makes, and about how many bytes of text it holds."""
    copy: dict[str, Any] = {}
    size = 0
    for key, value in list(attributes.items()):
        # What nearly all are is told apart here, since every logging call with attributes waits for this.
        if type(key) is not str or not key.isascii():
            key = _key(key)  # noqa: PLW2901
        kind = type(value)
        if kind is str and value.isascii():
            size += len(value)
        elif (kind is int and _SMALLEST <= value <= _LARGEST) or kind is bool or value is None:
            size += _SCALAR
        else:
            value = _value(value, 1, None)  # noqa: PLW2901
            size += size_of(value)
        size += len(key)
        copy[key] = value
    return copy, size


def size_of(value: Any) -> int:
    """About how many bytes of text a value holds that was cleaned."""
    if type(value) is str:
        return text_size(value)
    if type(value) is dict:
        return sum(len(name) + size_of(item) for name, item in value.items())
    return sum(map(size_of, value)) if type(value) is list else _SCALAR


def text_size(text: str) -> int:
    """The bytes that a text takes in memory, beyond ASCII with what Python adds."""
    return len(text) if text.isascii() else getsizeof(text)


def valid_text(text: str) -> str:
    """Text that UTF-8 can hold: a lone surrogate becomes `?`."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


def text_of(value: object) -> str:
    """`str(value)`, or `<unprintable TYPE>` where that fails."""
    if type(value) is str:
        return valid_text(value)
    try:
        return valid_text(str(value))
    except Exception:  # whatever the host's __str__ raises is not the host's failure here
        return f"<unprintable {type(value).__name__}>"


def _key(key: Any) -> str:
    return valid_text(key) if type(key) is str else text_of(key)


def _value(value: Any, depth: int, left: Iterator[int] | None) -> Any:
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
        return _container(value, depth, iter(range(MAX_ITEMS)) if left is None else left)
    if kind is bytes or kind is bytearray:
        return bytes(value).decode("utf-8", "replace")
    return _described(value)


def _described(value: object) -> str:
    try:
        for kind, text in _texts.items():
            if isinstance(value, kind):
                return text_of(text(value))
    except Exception:
        return f"<unprintable {type(value).__name__}>"
    return text_of(value)


def _container(value: Any, depth: int, left: Iterator[int]) -> Any:
    """`left` gives as many items as may still be copied, at whatever depth: the host waits meanwhile."""
    if depth >= MAX_DEPTH:
        return "<too deep>"
    try:
        whole = len(value)
        # One step for the containers of Python itself, whatever another thread does to them.
        given = list(islice(value.items() if isinstance(value, Mapping) else value, MAX_ITEMS))
        taken = [item for item, _ in zip(given, left, strict=False)]
        if isinstance(value, Mapping):
            copy = {_key(key): _value(item, depth + 1, left) for key, item in taken}
            return copy if len(taken) == whole else {**copy, CUT: True}
        items = [_value(item, depth + 1, left) for item in taken]
        return items if len(taken) == whole else [*items, CUT]
    except Exception:  # a container of the host's own making that fails, or changes in another thread
        return text_of(value)


def _large(value: int) -> str:
    # Python refuses to print integers of over 4,300 digits in decimal; in hexadecimal it never does.
    try:
        return str(value)
    except ValueError:
        return hex(value)[:MAX_TEXT]
