"""What is kept: a policy, and the pure decisions that follow from it and the facts."""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from ._errors import ConfigurationError
from ._levels import LEVELS

JUMP: Final = 3600.0
PATIENCE: Final = 600.0
_UNITS: Final = {
    "max_age": "a number of seconds",
    "max_count": "a whole number",
    "max_bytes": "a number of bytes",
}


class RetentionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on age (seconds), number and bytes; None means unbounded.

    `levels` are policies for one level each: such a level is held to its own age and number alone, and each of the
    other levels to those given here. `max_bytes` given here is for all levels together. Raises `ConfigurationError`
    for a bound that is not above 0.
    """

    max_age: float | None = None
    max_count: int | None = None
    max_bytes: int | None = None
    levels: Mapping[str, "RetentionPolicy"] = {}

    def __post_init__(self) -> None:
        for name in _UNITS:
            value = getattr(self, name)
            kind = int if name == "max_count" else int | float
            if value is not None and (isinstance(value, bool) or not isinstance(value, kind)):
                raise ConfigurationError(f"{name} is {_UNITS[name]}, not {value!r}; None means unbounded")
            if value is not None and not value > 0:
                raise ConfigurationError(f"{name} must be above 0, not {value!r}; None means unbounded")
        for level, policy in self.levels.items():
            if level not in LEVELS:
                raise ConfigurationError(f"unknown level {level!r} in levels: use one of {', '.join(LEVELS)}")
            if not isinstance(policy, RetentionPolicy):
                raise ConfigurationError(
                    f"levels has a policy for each, such as RetentionPolicy(max_count=1000), not {policy!r}"
                )
            if policy.levels:
                raise ConfigurationError(f"the policy of {level} cannot have levels of its own")


# Together 500 MB.
DEFAULT_LOG_RETENTION: Final = RetentionPolicy(max_age=7 * 86400, max_bytes=400_000_000)
DEFAULT_METRICS_RETENTION: Final = RetentionPolicy(max_age=7 * 86400, max_bytes=100_000_000)


class Facts(msgspec.Struct, frozen=True):
    """What a storage holds: entries and bytes, of one level or in all."""

    count: int
    size: int


class Deletion(msgspec.Struct, frozen=True):
    """One call of a storage: `delete_before(value)`, `keep_newest(value)` or `shrink(value)`."""

    operation: Literal["delete_before", "keep_newest", "shrink"]
    value: float
    level: str | None = None


def by_level(policy: RetentionPolicy) -> list[tuple[str | None, RetentionPolicy]]:
    """What each level is held to, the bounds on all of them (None) last; none of them has levels."""
    if not policy.levels:
        return [(None, policy)]
    general = RetentionPolicy(max_age=policy.max_age, max_count=policy.max_count)
    of_levels = [(level, policy.levels.get(level, general)) for level in LEVELS]
    return [*of_levels, (None, RetentionPolicy(max_bytes=policy.max_bytes))]


def plan_retention(
    policy: RetentionPolicy, facts: Facts, now: float | None, level: str | None = None
) -> list[Deletion]:
    """What to delete, by age first. `now` is None while the clock is not believed: then nothing goes by age."""
    deletions: list[Deletion] = []
    if policy.max_age is not None and now is not None and facts.count:
        deletions.append(Deletion("delete_before", now - policy.max_age, level))
    if policy.max_count is not None and facts.count > policy.max_count:
        deletions.append(Deletion("keep_newest", policy.max_count, level))
    if policy.max_bytes is not None and facts.size > policy.max_bytes:
        deletions.append(Deletion("shrink", policy.max_bytes, level))
    return deletions


class TrustedClock:
    """A wall clock that is believed only as far as the monotonic clock explains it.

    After a jump of over an hour, or a start over an hour from the newest record, it is not believed
    for 10 minutes.
    """

    def __init__(self, newest: float | None, now: float, monotonic: float) -> None:
        self._wall = now
        self._monotonic = monotonic
        far = newest is not None and abs(now - newest) > JUMP
        self._wait_until = monotonic + PATIENCE if far else monotonic

    def believed(self, now: float, monotonic: float) -> float | None:
        """The time to go by, or None while the clock is not believed."""
        explained = self._wall + (monotonic - self._monotonic)
        if abs(now - explained) > JUMP:
            self._wait_until = monotonic + PATIENCE
        self._wall, self._monotonic = now, monotonic
        return now if monotonic >= self._wait_until else None
