"""Families: what a declaration makes, with one series for each set of label values."""

from collections.abc import Callable, Sequence
from threading import Lock
from time import time
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ._errors import DeclarationError
from ._records import MetricFamily, MetricMetadata
from .encoders._series import series_key

MAX_SERIES = 2000
OVERFLOW = "_overflow"


class Series(Protocol):
    """One series, whatever its kind."""

    def values(self) -> Sequence[float]: ...

    def reset(self) -> None: ...


S = TypeVar("S", bound=Series)


class Declaration(Protocol):
    """What two declarations of one name must have in common."""

    metadata: MetricMetadata
    label_names: tuple[str, ...]
    aggregate: str
    bounds: tuple[float, ...]


class Family(Generic[S]):
    """A metric with its series. `labels(...)` gives the one for these values; keep it where speed counts."""

    def __init__(
        self,
        metadata: MetricMetadata,
        label_names: tuple[str, ...],
        make: Callable[[], S],
        *,
        aggregate: str = "sum",
        bounds: tuple[float, ...] = (),
    ) -> None:
        self.metadata = metadata
        self.label_names = label_names
        self.aggregate = aggregate
        self.bounds = bounds
        self.dropped = 0
        self.created = time()
        self._make = make
        self._lock = Lock()
        self._series: dict[tuple[str, ...], S] = {}
        self._keys: list[str] = []
        if not label_names:
            self._add(())

    def labels(self, *values: object, **named: object) -> S:
        """The series for these label values, by position or by name; made at first use.

        Over 2,000 series, new ones share one whose labels all read `_overflow`, and `dropped` counts
        them. Raises `DeclarationError` for a label that was not declared or is missing.
        """
        if not named:
            series = self._series.get(values)  # type: ignore[arg-type]  # other types are simply not found
            if series is not None:
                return series
        return self._bind(self._ordered(values, named))

    def family(self) -> MetricFamily:
        """The family at this instant, series in the order of their making."""
        with self._lock:
            keys, series = self._keys.copy(), list(self._series.values())
        values = [value for one in series for value in one.values()]
        return MetricFamily(self.metadata, keys, values, self.aggregate, self.created)

    def reset(self) -> None:
        """Begin from zero, as a forked child does; the lock may have been held by a thread that is gone."""
        self._lock = Lock()
        self.dropped = 0
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
            self._series.pop(self._ordered(values, named), None)
            self._keys = [key for labels in self._series for key in self._keys_of(labels)]

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
            if series is None and len(self._series) >= MAX_SERIES:
                self.dropped += 1
                values = (OVERFLOW,) * len(values)
                series = self._series.get(values)
            return self._add(values) if series is None else series

    def _add(self, values: tuple[str, ...]) -> S:
        series = self._make()
        self._keys += self._keys_of(values)
        self._series[values] = series
        return series

    def _keys_of(self, values: tuple[str, ...]) -> list[str]:
        name, labels = self.metadata.name, dict(zip(self.label_names, values, strict=True))
        if self.metadata.kind == "counter":
            return [series_key(f"{name}_total", labels)]
        if self.metadata.kind != "histogram":
            return [series_key(name, labels)]
        bounds = [*(_bound_text(bound) for bound in self.bounds), "+Inf"]
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
        return tuple(value if type(value) is str else str(value) for value in values)

    def _wanted(self, given: str) -> str:
        return f"{self.metadata.name} needs the labels ({', '.join(self.label_names)}), not {given}"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            if name.startswith("_"):
                raise AttributeError(name)
            labels = ", ".join(self.label_names)
            raise AttributeError(f"{self.metadata.name} has labels: call .labels({labels}) before .{name}")


def _bound_text(bound: float) -> str:
    # 1.0 as Prometheus' own clients write it, so that dashboards find the same `le`.
    return repr(float(bound))
