"""Attributes as JSON: what JSON cannot hold becomes text, so that no value ever breaks a line."""

from collections.abc import Callable, Iterable, Mapping, Set
from itertools import islice
from math import isfinite
from sys import getsizeof
from typing import Any, Final, TypeVar

MAX_DEPTH: Final = 8
MAX_ITEMS: Final = 1000
MAX_TEXT: Final = 65_536
MAX_NAME: Final = 512
CUT: Final = "<cut>"
_SCALAR: Final = 8
# What Python takes at most for a dictionary that is not empty and for one item more, and for a number or the head of
# a text.
DICT: Final = 160
ITEM: Final = 40
HEAD: Final = 56
_MAX_NAMES: Final = 1000
_COMMON: Final = frozenset({dict, list, tuple, set})
_CONTAINERS: Final = (Mapping, list, tuple, Set)
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
# Names that mean something else: these fields of an entry, and what a formatter adds to a record.
NOT_ATTRIBUTES: Final = frozenset({"trace_id", "span_id", "message", "asctime"})
T = TypeVar("T")
_texts: dict[type, Callable[[Any], object]] = {}
_names: dict[Any, str] = {}


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
    """The copy that `clean` makes, and the memory that it takes at most."""
    copy: dict[str, Any] = {}
    memory = DICT
    for key, value in list(attributes.items()):
        name = _name(key)
        memory += ITEM + (0 if name in _names else HEAD + text_size(name))
        kind = type(value)
        # What nearly all are is told apart here, since the caller of a logger waits for this.
        if kind is str and value.isascii():
            memory += HEAD + len(value)
        elif (kind is int and _SMALLEST <= value <= _LARGEST) or kind is bool or value is None:
            memory += HEAD
        else:
            value = _value(value, 1, None)  # noqa: PLW2901
            memory += memory_of(value)
        copy[name] = value
    return copy, memory


def add_plain(attributes: dict[str, Any], given: Mapping[Any, Any], names: Iterable[Any]) -> int:
    """Add what is `given` under these names where all of it is clean as it is; the memory of it, or -1 if not.

    Every logging call with attributes waits for this, and nearly all that come are of this kind; no code of the
    host runs. A name is one that was met before, so that all entries share it.
    """
    memory = 0
    for one in names:
        name, value = _names.get(one), given[one]
        kind = type(value)
        if name is None:
            return -1
        if kind is str:
            if value.isascii():
                memory += len(value)
            else:
                value = valid_text(value)
                memory += getsizeof(value)
        elif kind is int:
            if not _SMALLEST <= value <= _LARGEST:
                return -1
        elif kind is float:
            if not isfinite(value):
                return -1
        elif kind is not bool and value is not None:
            return -1
        memory += ITEM + HEAD
        attributes[name] = value
    return memory


def memory_of(value: Any) -> int:
    """The bytes that a cleaned value takes in memory, at most."""
    kind = type(value)
    if kind is str:
        return HEAD + text_size(value)
    if kind is dict:
        return DICT + sum([ITEM + HEAD + text_size(name) + memory_of(item) for name, item in value.items()])
    return getsizeof(value) + sum(map(memory_of, value)) if kind is list else HEAD


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


def short_text(value: object) -> str:
    """The text of a name or an identifier, of at most 512 characters."""
    return text_of(value)[:MAX_NAME]


def _name(key: Any) -> str:
    """The key as text; the first thousand that are met are kept, to be shared by all entries."""
    name = text_of(key)
    known = _names.get(name)
    if known is None and len(_names) < _MAX_NAMES and len(name) <= MAX_NAME and name not in NOT_ATTRIBUTES:
        _names[name] = name
    return known or name


def _value(value: Any, depth: int, left: list[int] | None) -> Any:
    kind = type(value)
    if kind is str:
        return valid_text(value)
    if kind is bool or value is None:
        return value
    if kind is int:
        return value if _SMALLEST <= value <= _LARGEST else _large(value)
    if kind is float:
        return value if isfinite(value) else str(value)
    if kind in _COMMON or isinstance(value, _CONTAINERS):
        return _container(value, kind, depth, [MAX_ITEMS] if left is None else left)
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


def _container(value: Any, kind: type, depth: int, left: list[int]) -> Any:
    """`left` holds how many items may still be copied, at whatever depth: the host waits meanwhile."""
    if depth >= MAX_DEPTH:
        return "<too deep>"
    try:
        named = kind is dict or (kind not in _COMMON and isinstance(value, Mapping))
        whole = len(value)
        # One step for the containers of Python itself, whatever another thread does to them.
        taken = list(islice(value.items() if named else value, left[0]))
        left[0] -= len(taken)
        if named:
            copy = {text_of(key): _value(item, depth + 1, left) for key, item in taken}
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
