"""Families: what a declaration makes, with one series for each set of label values."""

from collections.abc import Callable, Mapping, Sequence
from threading import RLock
from time import time
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, Protocol, TypeVar

from ._attributes import valid_text
from ._errors import DeclarationError
from ._exact import Tally
from ._records import Exemplar, MetricFamily, MetricMetadata
from ._series_keys import bound_text, parse_series_key, series_key

MAX_SERIES: Final = 2000
MAX_LABEL_VALUE: Final = 512
OVERFLOW: Final = "_overflow"
_CUT: Final = "..."


class Series(Protocol):
    """One series, whatever its kind."""

    def values(self) -> Sequence[float]: ...

    @staticmethod
    def gather(series: Any, /) -> list[float]: ...

    def reset(self) -> None: ...


S = TypeVar("S", bound=Series)


class Family(Generic[S]):
    """A metric with its series. `labels(...)` gives the one for these values; keep it where speed counts."""

    def __init__(
        self,
        metadata: MetricMetadata,
        label_names: tuple[str, ...],
        make: Callable[[Tally], S],
        *,
        aggregate: str = "sum",
        bounds: tuple[float, ...] = (),
    ) -> None:
        self.metadata = metadata
        self.label_names = label_names
        self.aggregate = aggregate
        self.bounds = bounds
        self.dropped = 0
        self.cut = 0
        self.tally = Tally()
        self.created = time()
        self._make = make
        # Its holder may take it again: a signal handler may make a series while one is made.
        self._lock = RLock()
        self._series: dict[tuple[str, ...], S] = {}
        self._keys: list[str] = []
        self._keyed = 0
        self._keyed_of: dict[tuple[str, ...], S] | None = None
        self._shown: Sequence[str] | None = None
        self._admitted: frozenset[tuple[str, ...]] | None = None
        if not label_names:
            self._series[()] = make(self.tally)

    def labels(self, *values: object, **named: object) -> S:
        """The series for these label values, by position or by name; made at first use.

        Over 2,000 series, here or in the whole service, new ones share one whose labels all read `_overflow`,
        and `dropped` counts their uses. A value over 512 characters is cut, and `cut` counts it. Raises
        `DeclarationError` for a label that was not declared or is missing.
        """
        if not named:
            try:
                return self._series[values]  # type: ignore[index]  # other types are simply not found
            except (KeyError, TypeError):  # new, or not text, or not even hashable
                return self._bind(self._ordered(values, named))
        return self._bind(self._ordered(values, named))

    def family(self) -> MetricFamily:
        """The family at this instant, series in the order of their making.

        `keys` is the same list as before where no series came or went; nobody may change it.
        """
        with self._lock:
            # A dictionary of series only grows, and another takes its place where some go: the keys of one
            # of the same length are the same. It is copied in one step, whatever a signal handler adds.
            current = self._series
            series = current.copy()
            if self._keyed_of is not current or self._keyed != len(series):
                self._keys = [key for labels in series for key in self._keys_of(labels)]
                self._keyed_of, self._keyed = current, len(series)
            keys = self._keys
        instruments = list(series.values())
        values = instruments[0].gather(instruments) if instruments else []
        exemplars = self._exemplars(instruments) if self.bounds else {}
        set_at = [one.set_at() for one in instruments] if self.aggregate == "latest" else ()  # type: ignore[attr-defined]
        return MetricFamily(self.metadata, keys, values, self.aggregate, self.created, exemplars, set_at)

    def reset(self) -> None:
        """Begin from zero, as a forked child does; the lock may have been held by a thread that is gone."""
        self._lock = RLock()
        self.dropped = 0
        self.cut = 0
        self.tally.reset()
        self._shown = self._admitted = None
        self.created = time()
        for series in list(self._series.values()):
            series.reset()

    def remove(self, *values: object, **named: object) -> None:
        """Forget one series of a gauge. Raises `DeclarationError` for other kinds: their totals must not fall."""
        if self.metadata.kind != "gauge":
            raise DeclarationError(
                f"{self.metadata.name} is a {self.metadata.kind}: only gauges forget a series"
            )
        with self._lock:
            # Another dictionary, so that the keys are made anew.
            left = self._series.copy()
            left.pop(self._ordered(values, named), None)
            self._series = left

    def hold_to(self, shown: Sequence[str]) -> None:
        """Know the keys that the whole service shows: where they are 2,000 series, no others are made here.

        What other workers know already is not new. Keys may have more labels than were declared here.
        """
        if shown is self._shown or not self.label_names:
            return
        self._shown = shown
        if self.bounds:  # other workers may have other buckets, but all have one count for a series
            shown = [key for key in shown if key.startswith(f"{self.metadata.name}_count")]
        if len(shown) < MAX_SERIES:
            self._admitted = None
            return
        labels = [parse_series_key(key)[1] for key in shown]
        self._admitted = frozenset(tuple(one.get(name, "") for name in self.label_names) for one in labels)

    def same_as(self, other: "Family[Any]") -> bool:
        """Whether both are one declaration; the help may differ."""
        return (self.metadata.kind, self.label_names, self.aggregate, self.bounds) == (
            other.metadata.kind,
            other.label_names,
            other.aggregate,
            other.bounds,
        )

    @property
    def only(self) -> S:
        """The one series of a family without labels."""
        return self._series[()]

    def _bind(self, values: tuple[str, ...]) -> S:
        with self._lock:
            series = self._series.get(values)
            admitted = self._admitted is None or values in self._admitted
            if series is None and not (admitted and len(self._series) < MAX_SERIES):
                self.dropped += 1
                values = (OVERFLOW,) * len(values)
            return self._series.setdefault(values, self._make(self.tally)) if series is None else series

    def _exemplars(self, series: Sequence[Any]) -> Mapping[int, Exemplar]:
        width = len(self.bounds) + 3
        return {
            place * width + index: exemplar
            for place, histogram in enumerate(series)
            for index, exemplar in histogram.exemplars().items()
        }

    def _keys_of(self, values: tuple[str, ...]) -> list[str]:
        name, labels = self.metadata.name, dict(zip(self.label_names, values, strict=True))
        if self.metadata.kind == "counter":
            return [series_key(f"{name}_total", labels)]
        if self.metadata.kind == "info":
            return [series_key(f"{name}_info", labels)]
        if self.metadata.kind != "histogram":
            return [series_key(name, labels)]
        bounds = [*map(bound_text, self.bounds), "+Inf"]
        buckets = [series_key(f"{name}_bucket", {**labels, "le": bound}) for bound in bounds]
        return [*buckets, series_key(f"{name}_sum", labels), series_key(f"{name}_count", labels)]

    def _ordered(self, values: tuple[object, ...], named: dict[str, object]) -> tuple[str, ...]:
        declared = self.label_names
        if values and named:
            raise DeclarationError(f"{self.metadata.name}: give labels by position or by name, not both")
        if named:
            if named.keys() != set(declared):
                raise DeclarationError(self._wanted(", ".join(named)))
            values = tuple(named[name] for name in declared)
        if len(values) != len(declared):
            raise DeclarationError(self._wanted(f"{len(values)} values"))
        return tuple(map(self._label_value, values))

    def _label_value(self, value: object) -> str:
        text = valid_text(value if type(value) is str else str(value))
        if len(text) <= MAX_LABEL_VALUE:
            return text
        with self._lock:
            self.cut += 1
        return text[: MAX_LABEL_VALUE - len(_CUT)] + _CUT

    def _wanted(self, given: str) -> str:
        name = f"{self.metadata.name}_total" if self.metadata.kind == "counter" else self.metadata.name
        return f"{name} needs the labels ({', '.join(self.label_names)}), not {given}"

    if not TYPE_CHECKING:  # for a type checker a family has none of these

        def _unlabelled(self, *_values: object, **_named: object) -> NoReturn:
            labels = ", ".join(self.label_names)
            raise DeclarationError(
                f"{self.metadata.name} has labels: call .labels({labels}) first, and count with what it gives"
            )

        inc = dec = set = set_function = observe = time = _unlabelled


class Info(Family["One"]):
    """Facts about the service as labels, with the value 1: `build.set(version="1.2")`."""

    def set(self, **named: object) -> None:
        """Say this, and nothing of what was said before. Raises `DeclarationError` as `labels` does."""
        values = self._ordered((), named)
        with self._lock:
            self._series = {values: One()}


class One:
    """The series of an info: its value is always 1."""

    __slots__ = ()

    def values(self) -> Sequence[float]:
        return (1.0,)

    @staticmethod
    def gather(series: "Sequence[One]") -> list[float]:
        return [1.0] * len(series)

    def reset(self) -> None:
        """Facts stay as they are in a forked child."""
