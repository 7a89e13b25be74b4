import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from obs_core._attributes import clean

pytestmark = pytest.mark.unit

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.binary(max_size=20)
    | st.datetimes(),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text() | st.integers(), children, max_size=4)
    ),
    max_leaves=20,
)


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")


# The first draw builds the tables of all characters.
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(st.text(st.characters(codec=None)), VALUES, max_size=5))
def test_whatever_comes_in_is_json_afterwards(attributes):
    json.loads(msgspec.json.encode(clean(attributes)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (2**64, "18446744073709551616"),
        (b"\xff\x41", "\ufffdA"),
        ("a\ud800", "a?"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02 00:00:00+00:00"),
        (Unprintable(), "<unprintable Unprintable>"),
    ],
)
def test_what_json_cannot_hold_becomes_text(value, text):
    assert clean({"x": value}) == {"x": text}


def test_integers_too_long_to_print_are_hexadecimal():
    assert clean({"x": 10**5000})["x"].startswith("0x")


def test_a_cycle_ends_at_the_eighth_level():
    cycle: dict[str, Any] = {}
    cycle["again"] = cycle
    inner = clean(cycle)
    for _ in range(7):
        inner = inner["again"]
    assert inner == {"again": "<too deep>"} or inner == "<too deep>"


def test_what_changes_later_does_not_change_the_copy():
    items = [1]
    kept = clean({"items": items})
    items.append(2)
    assert kept == {"items": [1]}


def test_keys_are_text():
    assert clean({1: "a", None: "b"}) == {"1": "a", "None": "b"}
