from collections import OrderedDict
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from obs_core import LogEntry, MetricMetadata, MetricSample
from obs_core.checks import check_entries, check_metadata, check_samples

pytestmark = pytest.mark.unit


class Unshown:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


def test_what_the_records_say_passes():
    attributes = {"a": 1, "b": 2.5, "c": None, "d": True, "e": "é", "f": [1, {"g": [None]}], "h": {}, "i": []}
    check_entries(
        [LogEntry(1.0, "INFO", "x", attributes, "shop", "a" * 32, "b" * 16), LogEntry(2, "ERROR", "")]
    )
    check_samples([MetricSample("a", float("nan"), 1.0, {"b": "c"}), MetricSample("a", 1, 1)])
    check_metadata([MetricMetadata("a", "info", "A.", "seconds")])
    check_entries([])
    check_samples([])


@pytest.mark.parametrize(
    "value",
    [
        b"x",
        (1,),
        {1},
        datetime(2026, 1, 1, tzinfo=UTC),
        Decimal(1),
        OrderedDict(),
        Unshown(),
        {"b": {"c": b"x"}},
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_attribute_that_json_does_not_have_is_refused_and_named(value):
    with pytest.raises(TypeError, match=r"LogEntry\.attributes\['a'\]: JSON is needed, not .* of type "):
        check_entries([LogEntry(1.0, "INFO", "x", {"a": value, "fine": 1})])


def test_a_cycle_and_a_deep_nesting_are_refused():
    cycle: list[object] = []
    cycle.append(cycle)
    for value in (cycle, nested(5000)):
        with pytest.raises(TypeError, match="nested too deeply"):
            check_entries([LogEntry(1.0, "INFO", "x", {"a": value})])


@pytest.mark.parametrize("record", ["no record", None, Unshown()])
def test_what_is_no_record_is_refused_by_name(record):
    for check, name in (
        (check_entries, "LogEntry"),
        (check_samples, "MetricSample"),
        (check_metadata, "MetricMetadata"),
    ):
        with pytest.raises(TypeError, match=f"{name} is needed"):
            check([record])


def test_the_field_and_the_way_out_are_named():
    with pytest.raises(
        TypeError, match=r"LogEntry\.level: one of TRACE, DEBUG, .* is needed, not 'info' of type str"
    ):
        check_entries([LogEntry(1.0, "info", "x")])
    with pytest.raises(
        TypeError, match=r"LogEntry\.timestamp: Unix seconds as a finite float is needed, not nan"
    ):
        check_entries([LogEntry(float("nan"), "INFO", "x")])
    with pytest.raises(
        TypeError, match=r"a name in LogEntry\.attributes\['a'\]: a str is needed, not 1 of type int"
    ):
        check_entries([LogEntry(1.0, "INFO", "x", {"a": {1: 2}})])


def test_many_large_times_are_each_looked_at():
    check_entries([LogEntry(1e308, "INFO", "x")] * 10)
    check_samples([MetricSample("a", 1.0, 1e308)] * 10)
