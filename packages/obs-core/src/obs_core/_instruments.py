"""The series that a service counts with. Under a GIL no update is lost, and none takes a lock.

Threads switch only where something is called, so nothing callable may stand between the load of the
old value and the store of the new one: what must be converted is converted on a line of its own.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from operator import attrgetter
from time import time
from typing import TYPE_CHECKING, Final, NoReturn

from ._context import bound
from ._errors import DeclarationError
from ._exact import Tally, exact, new_lock
from ._records import Exemplar
from ._timing import Timer

if TYPE_CHECKING:
    from ._functions import Question

# The advice of the OpenTelemetry semantic conventions for HTTP durations, in seconds.
DEFAULT_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_EXEMPLAR_SECONDS: Final = 1.0
_NONE: Final[frozenset[int]] = frozenset()
# What names a trace; other text, which readers of exemplars stumble over, is not one.
_TRACE: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
_value_of: Final = attrgetter("_value")
# Of an instrument that nobody declared.
_NOWHERE: Final = Tally()


def number(value: object) -> float:
    """A real number as float. Raises `TypeError` for what is none, text too."""
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        raise TypeError(f"a number is needed, not {value!r}")
    return float(value)


class _Bound:
    """One series, whose labels are given already."""

    __slots__ = ()

    def labels(self, *_values: object, **_named: object) -> NoReturn:
        """Raises `DeclarationError`: no label was declared, or all have their values."""
        raise DeclarationError(
            "this is one series, to count with as it is: no labels were declared for its metric, or they were given"
        )


class Counter(_Bound):
    """A total that only grows."""

    __slots__ = ("_lock", "_tally", "_value")

    def __init__(self, tally: Tally = _NOWHERE) -> None:
        self._value = 0.0
        self._tally = tally
        self._lock = new_lock()

    @exact
    def inc(self, amount: float = 1.0) -> None:
        """Add `amount`. Raises `DeclarationError` for one below 0, and nothing changes.

        NaN is ignored, and counted in `obs_values_ignored_total`: the total would be NaN for ever.
        """
        if type(amount) is not float:
            amount = number(amount)
        if not amount >= 0.0:
            if amount < 0.0:
                raise DeclarationError(f"a counter only grows: {amount} cannot be added")
            self._tally.ignore()
            return
        self._value += amount

    def values(self) -> Sequence[float]:
        """The exposed values, one for each key of the series."""
        return (self._value,)

    @staticmethod
    def gather(series: "Iterable[Counter]") -> list[float]:
        """The values of many, as `values` gives them, one after the other."""
        return list(map(_value_of, series))

    def reset(self) -> None:
        """Begin from zero, as a forked child does; a lock may have been held by a thread that is gone."""
        self._lock = new_lock()
        self._value = 0.0


class Gauge(_Bound):
    """A value that goes up and down, or a function that gives it."""

    __slots__ = ("_lock", "_question", "_tally", "_value")

    def __init__(self, tally: Tally = _NOWHERE) -> None:
        self._value = 0.0
        self._question: Question | None = None
        self._tally = tally
        self._lock = new_lock()

    @exact
    def inc(self, amount: float = 1.0) -> None:
        """Add `amount`; NaN is ignored, and counted in `obs_values_ignored_total`."""
        if type(amount) is not float:
            amount = number(amount)
        if amount != amount:
            self._tally.ignore()
            return
        self._value += amount

    @exact
    def dec(self, amount: float = 1.0) -> None:
        """Take `amount` off, as `inc` adds it."""
        if type(amount) is not float:
            amount = number(amount)
        if amount != amount:
            self._tally.ignore()
            return
        self._value -= amount

    @exact
    def set(self, value: float) -> None:
        """Be `value`: any number, NaN too, since the next one takes its place."""
        if type(value) is not float:
            value = number(value)
        self._value = value

    def set_function(self, function: Callable[[], float]) -> None:
        """Ask `function` at each collection: in a runtime each second, and at each scrape; in a thread of ours.

        One that raises shows as NaN. One that takes over 0.25 s is waited for once, and then asked beside: the gauge
        shows what it answered last. Both are counted in `obs_gauge_functions_failed_total` and said on stderr. Of
        one gauge at most 32 functions are being called at once.
        """
        if not callable(function):
            raise TypeError(f"set_function needs something to call, not {function!r}")
        from ._functions import question_of  # few need it, and its import takes time  # noqa: PLC0415

        self._question = question_of(function, number, self._tally)

    def values(self) -> Sequence[float]:
        """The value, as a sequence of one."""
        return (self._value if self._question is None else self._question.answer(),)

    @staticmethod
    def gather(series: "Iterable[Gauge]") -> list[float]:
        """The values of many."""
        return [one._value if one._question is None else one._question.answer() for one in series]

    def reset(self) -> None:
        """Begin from zero, as a forked child does; a function stays."""
        self._lock = new_lock()
        self._value = 0.0


class Histogram(_Bound):
    """Counts of observations up to each bound, with their sum and count."""

    __slots__ = ("_bounds", "_counts", "_exemplars", "_lock", "_sum", "_tally", "_unread")

    def __init__(self, bounds: Sequence[float], tally: Tally = _NOWHERE) -> None:
        self._bounds = bounds
        self._tally = tally
        self._counts = [0] * (len(bounds) + 1)
        self._exemplars: dict[int, Exemplar] | None = None
        self._unread = _NONE  # the buckets whose exemplar nobody has collected yet
        self._sum = 0.0
        self._lock = new_lock()

    @exact
    def observe(self, value: float) -> None:
        """Count one observation; NaN is ignored, and counted in `obs_values_ignored_total`."""
        if type(value) is not float:
            value = number(value)
        if value != value:
            self._tally.ignore()
            return
        index = bisect_left(self._bounds, value)
        counts = self._counts
        counts[index] += 1
        self._sum += value
        if index not in self._unread:
            context = bound()
            if context:
                self._remember(index, value, context.get("trace_id"))

    def time(self) -> Timer:
        """Observe how many seconds a block or a function took, failures too: `with`, or a decorator."""
        return Timer(self.observe)

    def values(self) -> Sequence[float]:
        """The cumulative buckets, `+Inf` last, then the sum and the count."""
        values: list[float] = list(accumulate(self._counts.copy()))
        values += (self._sum, values[-1])
        return values

    @staticmethod
    def gather(series: "Iterable[Histogram]") -> list[float]:
        """The values of many."""
        return [value for one in series for value in one.values()]

    def exemplars(self) -> dict[int, Exemplar]:
        """The last exemplar of each bucket that has one, by the index of the bucket.

        Another takes its place from then on, or after the next call where it is not a second old: else every
        observation until then would ask the clock.
        """
        if not self._exemplars:
            return {}
        kept, now = dict(self._exemplars), time()
        self._unread = frozenset(index for index, one in kept.items() if _is_new(one, now))
        return kept

    def reset(self) -> None:
        """Begin from zero, as a forked child does."""
        self._lock = new_lock()
        self._counts = [0] * (len(self._bounds) + 1)
        self._exemplars, self._unread = None, _NONE
        self._sum = 0.0

    def _remember(self, index: int, value: float, trace_id: object) -> None:
        """Keep the observation as the exemplar of its bucket, until it was collected and for at least a second.

        So the clock is not asked at each observation.
        """
        if self._exemplars is None:
            self._exemplars = {}
        now, last = time(), self._exemplars.get(index)
        if last is not None and _is_new(last, now):
            return
        if type(trace_id) is str and _TRACE.fullmatch(trace_id):
            self._exemplars[index] = Exemplar({"trace_id": trace_id}, value, now)
            self._unread |= {index}


def _is_new(exemplar: Exemplar, now: float) -> bool:
    """Whether it is to stay. A clock that was set back must not keep an old one for ever."""
    return 0.0 <= now - exemplar.timestamp < _EXEMPLAR_SECONDS
