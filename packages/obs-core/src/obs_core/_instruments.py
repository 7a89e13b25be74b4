"""The series that a service counts with. Under a GIL no update is lost, and none takes a lock.

Threads switch only where something is called, so nothing callable may stand between the load of the
old value and the store of the new one: what must be converted is converted on a line of its own.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final

from ._errors import DeclarationError
from ._timing import Timer

# The advice of the OpenTelemetry semantic conventions for HTTP durations, in seconds.
DEFAULT_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


def number(value: object) -> float:
    """A real number as float. Raises `TypeError` for what is none, text too."""
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        raise TypeError(f"a number is needed, not {value!r}")
    return float(value)


class Counter:
    """A total that only grows."""

    __slots__ = ("_value",)

    def __init__(self) -> None:
        self._value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Add `amount`, at least 0. Raises `DeclarationError` else, and nothing changes."""
        if type(amount) is not float:
            amount = number(amount)
        if not amount >= 0.0:
            raise DeclarationError(f"a counter only grows: {amount} cannot be added")
        self._value += amount

    def values(self) -> Sequence[float]:
        """The exposed values, in the order of `SUFFIXES` of the kind."""
        return (self._value,)

    def reset(self) -> None:
        """Begin from zero, as a forked child does."""
        self._value = 0.0


class Gauge:
    """A value that goes up and down, or a function that gives it."""

    __slots__ = ("_function", "_value")

    def __init__(self) -> None:
        self._value = 0.0
        self._function: Callable[[], float] | None = None

    def inc(self, amount: float = 1.0) -> None:
        """Add `amount`."""
        if type(amount) is not float:
            amount = number(amount)
        self._value += amount

    def dec(self, amount: float = 1.0) -> None:
        """Take `amount` off."""
        if type(amount) is not float:
            amount = number(amount)
        self._value -= amount

    def set(self, value: float) -> None:
        """Be `value`."""
        self._value = number(value)

    def set_function(self, function: Callable[[], float]) -> None:
        """Ask `function` at each collection, in the collecting thread; one that raises shows as NaN."""
        if not callable(function):
            raise TypeError(f"set_function needs something to call, not {function!r}")
        self._function = function

    def values(self) -> Sequence[float]:
        if self._function is None:
            return (self._value,)
        try:
            return (number(self._function()),)
        except Exception:  # the host's function: a scrape must not fail for it, and NaN says so
            return (float("nan"),)

    def reset(self) -> None:
        self._value = 0.0


class Histogram:
    """Counts of observations up to each bound, with their sum and count."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one observation. Raises `DeclarationError` for NaN, and nothing changes."""
        if type(value) is not float:
            value = number(value)
        if value != value:
            raise DeclarationError("NaN cannot be observed: it belongs to no bucket")
        index = bisect_left(self._bounds, value)
        counts = self._counts
        counts[index] += 1
        self._sum += value

    def time(self) -> Timer:
        """Observe how many seconds a block or a function took, failures too: `with`, or a decorator."""
        return Timer(self.observe)

    def values(self) -> Sequence[float]:
        """The cumulative buckets, `+Inf` last, then the sum and the count."""
        values: list[float] = []
        total = 0
        for count in self._counts.copy():
            total += count
            values.append(total)
        values += (self._sum, total)
        return values

    def reset(self) -> None:
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
