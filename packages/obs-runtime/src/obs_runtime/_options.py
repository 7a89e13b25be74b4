"""What `EmbeddedRuntime` is given: wrong things are told where they are given, not later in the background."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from obs_core import ConfigurationError, Registry, RetentionPolicy, Storage

_STORAGE: Final = ("logs", "metrics", "path", "size", "__aenter__", "__aexit__")


@dataclass(frozen=True, slots=True)
class Options:
    """Raises `ConfigurationError` for what is not what it should be."""

    log_retention: RetentionPolicy
    metrics_retention: RetentionPolicy
    flush_interval: float
    history_interval: float
    log_level: str
    clock: Callable[[], float]
    monotonic: Callable[[], float]

    def __post_init__(self) -> None:
        _check_retention("log_retention", self.log_retention)
        _check_retention("metrics_retention", self.metrics_retention)
        _check_interval("flush_interval", self.flush_interval)
        _check_interval("history_interval", self.history_interval)
        _check_level(self.log_level)


def checked_storage(storage: Storage) -> Storage:
    """The same. Raises `ConfigurationError` for what is none."""
    given: object = storage
    if isinstance(given, type):
        raise ConfigurationError(f"a storage is needed, not its class: {given.__name__}(...)")
    if not all(hasattr(given, name) for name in _STORAGE):
        raise ConfigurationError(f'a storage is needed, such as SQLiteStorage("obs.db"), not {storage!r}')
    return storage


def checked_registry(registry: Registry | None) -> Registry:
    """The same, or a new one. Raises `ConfigurationError` for what is none."""
    known: object = Registry() if registry is None else registry
    if not isinstance(known, Registry):
        raise ConfigurationError(f"registry= is a Registry() of obs_core, not {registry!r}")
    return known


def _check_retention(name: str, policy: object) -> None:
    if not isinstance(policy, RetentionPolicy):
        raise ConfigurationError(
            f"{name}= is a policy, such as RetentionPolicy(max_age=7 * 86400) for 7 days, not {policy!r}"
        )


def _check_interval(name: str, seconds: object) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise ConfigurationError(f"{name}= is a number of seconds above 0, not {seconds!r}")


def _check_level(level: object) -> None:
    if level not in logging.getLevelNamesMapping():
        raise ConfigurationError(f'log_level= is the name of a level, such as "INFO", not {level!r}')
