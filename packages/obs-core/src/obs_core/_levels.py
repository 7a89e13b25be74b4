"""Severity levels and their OpenTelemetry numbers (logs data model, SeverityNumber)."""

from typing import Final

SEVERITY: Final[dict[str, int]] = {
    "TRACE": 1,
    "DEBUG": 5,
    "INFO": 9,
    "WARNING": 13,
    "ERROR": 17,
    "CRITICAL": 21,
}
LEVELS: Final[tuple[str, ...]] = tuple(SEVERITY)
_ALIASES: Final[dict[str, str]] = {"WARN": "WARNING", "FATAL": "CRITICAL"}
# The numbers of `logging`, which loguru and structlog share.
_NUMBERS: Final[tuple[tuple[int, str], ...]] = (
    (50, "CRITICAL"),
    (40, "ERROR"),
    (30, "WARNING"),
    (20, "INFO"),
    (10, "DEBUG"),
)


def parse_level(name: str) -> str | None:
    """The level that `name` means, in any case and with the aliases WARN and FATAL, or None."""
    upper = name.upper()
    upper = _ALIASES.get(upper, upper)
    return upper if upper in SEVERITY else None


def level_of_number(levelno: int) -> str:
    """The nearest level at or below a number of `logging`: 25 is INFO, 5 is TRACE."""
    for number, name in _NUMBERS:
        if levelno >= number:
            return name
    return "TRACE"


def levels_from(level: str) -> tuple[str, ...]:
    """This severity and the worse ones."""
    return LEVELS[LEVELS.index(level) :]
