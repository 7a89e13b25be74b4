from datetime import timedelta

import pytest
from msgspec import structs

from obs_core import ConfigurationError, RetentionPolicy
from obs_core.retention import (
    DEFAULT_LOG_RETENTION,
    DEFAULT_METRICS_RETENTION,
    Deletion,
    Facts,
    TrustedClock,
    by_level,
    plan_retention,
)

pytestmark = pytest.mark.unit
NOW = 1_764_000_000.0


@pytest.mark.parametrize(
    "bound", [{"max_age": 0}, {"max_age": -1.0}, {"max_count": 0}, {"max_bytes": float("nan")}]
)
def test_a_bound_that_keeps_nothing_is_refused_by_name(bound):
    with pytest.raises(ConfigurationError, match=next(iter(bound))):
        RetentionPolicy(**bound)


def test_a_level_has_a_policy_and_no_number():
    with pytest.raises(ConfigurationError, match="levels has a policy for each"):
        RetentionPolicy(levels={"ERROR": 3})


@pytest.mark.parametrize(
    "bound", [{"max_age": timedelta(days=7)}, {"max_age": "7d"}, {"max_count": True}, {"max_count": 10.5}]
)
def test_a_bound_that_is_no_number_is_refused_with_its_unit(bound):
    with pytest.raises(ConfigurationError, match=f"{next(iter(bound))} is a (whole )?number"):
        RetentionPolicy(**bound)


def test_levels_are_known_and_one_deep():
    with pytest.raises(ConfigurationError, match="'LOUD'"):
        RetentionPolicy(levels={"LOUD": RetentionPolicy(max_age=1)})
    with pytest.raises(ConfigurationError, match="levels of its own"):
        RetentionPolicy(levels={"INFO": RetentionPolicy(levels={"INFO": RetentionPolicy()})})


def test_all_bounds_at_once_go_by_age_first():
    policy = RetentionPolicy(max_age=60, max_count=10, max_bytes=1000)
    assert plan_retention(policy, Facts(count=11, size=1001), NOW) == [
        Deletion("delete_before", NOW - 60),
        Deletion("keep_newest", 10),
        Deletion("shrink", 1000),
    ]


def test_a_level_with_a_policy_of_its_own_is_not_held_to_the_general_age_and_number():
    week = RetentionPolicy(max_age=7 * 86400, max_count=10, max_bytes=1000)
    error = RetentionPolicy(max_age=90 * 86400)
    of_levels = dict(by_level(structs.replace(week, levels={"ERROR": error})))
    assert of_levels.pop("ERROR") == error
    assert of_levels.pop(None) == RetentionPolicy(max_bytes=1000)
    assert set(of_levels) == {"TRACE", "DEBUG", "INFO", "WARNING", "CRITICAL"}
    assert all(one == RetentionPolicy(max_age=7 * 86400, max_count=10) for one in of_levels.values())
    assert by_level(week) == [(None, week)]


def test_what_is_kept_by_default_is_within_500_mb():
    assert (DEFAULT_LOG_RETENTION.max_bytes or 0) + (DEFAULT_METRICS_RETENTION.max_bytes or 0) == 500_000_000


def test_nothing_is_deleted_within_the_bounds():
    policy = RetentionPolicy(max_count=10, max_bytes=1000)
    assert plan_retention(policy, Facts(count=10, size=1000), NOW) == []
    assert plan_retention(RetentionPolicy(max_age=1), Facts(count=0, size=0), NOW) == []


def test_without_a_clock_to_believe_nothing_goes_by_age():
    policy = RetentionPolicy(max_age=60, max_count=1)
    assert plan_retention(policy, Facts(count=2, size=0), None, "DEBUG") == [
        Deletion("keep_newest", 1, "DEBUG")
    ]


def test_a_clock_that_goes_with_the_monotonic_one_is_believed():
    clock = TrustedClock(NOW - 10, NOW, 0.0)
    assert clock.believed(NOW + 5, 5.0) == NOW + 5


@pytest.mark.parametrize("jump", [8 * 86400.0, -8 * 86400.0])
def test_after_a_jump_the_clock_is_believed_when_it_held_for_ten_minutes(jump):
    clock = TrustedClock(NOW, NOW, 0.0)
    assert clock.believed(NOW + jump, 1.0) is None
    assert clock.believed(NOW + jump + 598, 599.0) is None
    assert clock.believed(NOW + jump + 601, 602.0) == NOW + jump + 601


def test_a_jump_there_and_back_begins_the_waiting_again():
    clock = TrustedClock(NOW, NOW, 0.0)
    assert clock.believed(NOW + 8 * 86400, 1.0) is None
    assert clock.believed(NOW + 300, 300.0) is None
    assert clock.believed(NOW + 899, 899.0) is None
    assert clock.believed(NOW + 901, 901.0) == NOW + 901


def test_a_start_far_from_the_newest_record_waits():
    clock = TrustedClock(NOW - 8 * 86400, NOW, 0.0)
    assert clock.believed(NOW + 1, 1.0) is None
    assert clock.believed(NOW + 601, 601.0) == NOW + 601
