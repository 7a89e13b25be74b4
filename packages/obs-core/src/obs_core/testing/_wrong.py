"""Changes of good records, each of which makes one that no storage takes."""

from collections.abc import Mapping
from math import inf, nan
from typing import Final

Change = Mapping[str, object]


def _each(name: str, *values: object) -> list[Change]:
    return [{name: value} for value in values]


NO_ENTRIES: Final[list[Change]] = [
    *_each("timestamp", None, "1", True, nan, inf, 2**1024),
    *_each("level", None, "info", "LOUD", "", ["INFO"]),
    *_each("message", None, 7, b"x", "a\ud800"),
    *(change for name in ("logger", "trace_id", "span_id") for change in _each(name, None, 7)),
    *_each("attributes", None, [], {1: "x"}, {"a": {None: 1}}, {"a\ud800": 1}),
    *_each("attributes", {"a": object}, {"a": [object]}, {"a": "a\ud800"}),
    *_each("attributes", {"a": b"x"}, {"a": (1,)}, {"a": {1}}, {"a": [{"b": (1,)}]}),
]
NO_SAMPLES: Final[list[Change]] = [
    *_each("name", None, 7, "a\ud800"),
    *_each("value", None, "1", True),
    *_each("timestamp", None, "1", nan, inf),
    *_each("labels", None, [], {"a": 1}, {1: "a"}, {"a": None}, {"a": "\ud800"}),
]
NO_METADATA: Final[list[Change]] = [
    *_each("name", None, 7),
    *_each("kind", None, "kind"),
    *_each("help", None, 7, "a\ud800"),
    *_each("unit", None),
]


def shown(change: Change) -> str:
    """The name of a test with this change."""
    return ascii(change)[:60]
