import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from obs_core import describe
from obs_core._attributes import CUT, _texts, clean

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


def test_containers_are_cut_after_a_thousand_items_in_all():
    kept = clean({"list": list(range(5000)), "map": {n: n for n in range(5000)}, "few": [1]})
    assert kept["list"] == [*range(1000), CUT]
    assert len(kept["map"]) == 1001
    assert kept["map"][CUT] is True
    assert kept["few"] == [1]
    nested = clean({"x": [list(range(400)) for _ in range(400)]})["x"]
    assert sum(len(item) if isinstance(item, list) else 1 for item in nested) < 1500


def test_keys_that_read_alike_are_not_taken_for_a_cut():
    assert clean({"x": {1: "a", "1": "b"}}) == {"x": {"1": "b"}}


def test_a_container_that_fails_is_its_text():
    class Failing(dict):
        def items(self):
            raise RuntimeError("no items")

    assert clean({"x": Failing(a=1)}) == {"x": "{'a': 1}"}


def test_objects_are_written_as_it_was_said_for_their_type_and_those_derived_from_it():
    class Question:
        def __init__(self, path: str) -> None:
            self.path = path

    class Derived(Question):
        pass

    describe(Question, lambda question: question.path[:3])
    try:
        written = clean({"a": Derived("/a?secret"), "b": [Question("/b?secret")], "c": Question(7)})
    finally:
        del _texts[Question]
    assert written == {"a": "/a?", "b": ["/b?"], "c": "<unprintable Question>"}
