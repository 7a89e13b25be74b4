"""Gauges of which the one that was set last counts, in whichever worker."""

from time import time

from ._exact import Tally
from ._instruments import Gauge


class LatestGauge(Gauge):
    """A gauge that knows when it was set, which tells the last of several workers."""

    __slots__ = ("_set_at",)

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally)
        self._set_at = 0.0

    def inc(self, amount: float = 1.0) -> None:
        super().inc(amount)
        if amount == amount:
            self._set_at = time()

    def dec(self, amount: float = 1.0) -> None:
        super().dec(amount)
        if amount == amount:
            self._set_at = time()

    def set(self, value: float) -> None:
        super().set(value)
        self._set_at = time()

    def set_at(self) -> float:
        """When it got its value, in Unix seconds, 0 before that: of a function, when it last answered another."""
        if self._question is not None:
            last = self._question.last
            if last == last and last != self._value:  # a function that fails, which is NaN, has not answered
                self._value, self._set_at = last, time()
        return self._set_at

    def reset(self) -> None:
        super().reset()
        self._set_at = 0.0
