"""What a scenario tells: figures that were seen, and the one check that it fails by."""

Figures = dict[str, str]


class BrokenPromiseError(AssertionError):
    """Something did not hold; the message says what was seen."""


def holds(condition: object, what: str) -> None:
    """Raise `BrokenPromiseError` unless it does. `assert` tells nothing where pytest has not rewritten it."""
    if not condition:
        raise BrokenPromiseError(what)


def percentile(values: list[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0
