"""The registry: where instruments are declared and collected. There is no global one."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from threading import RLock
from typing import Any, Final, Literal, overload

from ._errors import DeclarationError
from ._families import MAX_SERIES, Family, S
from ._instruments import DEFAULT_BUCKETS, Counter, Gauge, Histogram
from ._names import family_name, label_names
from ._records import MetricFamily, MetricKind, MetricMetadata
from .encoders._series import series_key

Aggregate = Literal["sum", "max", "min", "latest", "per_worker"]
_AGGREGATES: Final = ("sum", "max", "min", "latest", "per_worker")
_DROPPED: Final = MetricMetadata(
    "obs_series_dropped",
    "counter",
    f"New series over {MAX_SERIES} of a metric, counted into its overflow series.",
)


class Registry:
    """Declares instruments; declared twice alike is the same one, declared differently is an error."""

    def __init__(self) -> None:
        self._families: dict[str, Family[Any]] = {}
        self._included: list[Registry] = []
        self._includers: list[Registry] = []
        self._lock = RLock()

    # Without labels the instrument itself, with labels the family: for a type checker an empty
    # tuple is a sequence too, so both overlap, and the first wins.
    @overload
    def counter(self, name: str, help: str, labels: tuple[()] = ()) -> Counter: ...  # type: ignore[overload-overlap]
    @overload
    def counter(self, name: str, help: str, labels: Sequence[str]) -> Family[Counter]: ...
    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter | Family[Counter]:
        """A total that only grows; `orders` and `orders_total` are one family, exposed as `orders_total`."""
        return _offered(self._declare("counter", name, help, labels, Counter))

    @overload
    def gauge(  # type: ignore[overload-overlap]
        self, name: str, help: str, labels: tuple[()] = (), *, aggregate: Aggregate = "sum"
    ) -> Gauge: ...
    @overload
    def gauge(
        self, name: str, help: str, labels: Sequence[str], *, aggregate: Aggregate = "sum"
    ) -> Family[Gauge]: ...
    def gauge(
        self, name: str, help: str, labels: Sequence[str] = (), *, aggregate: Aggregate = "sum"
    ) -> Gauge | Family[Gauge]:
        """A value that goes up and down; `aggregate` says what several workers make of it."""
        if aggregate not in _AGGREGATES:
            raise DeclarationError(
                f"unknown aggregate {aggregate!r} of {name}: use one of {', '.join(_AGGREGATES)}"
            )
        return _offered(self._declare("gauge", name, help, labels, Gauge, aggregate=aggregate))

    @overload
    def histogram(  # type: ignore[overload-overlap]
        self, name: str, help: str, labels: tuple[()] = (), *, buckets: Sequence[float] = ...
    ) -> Histogram: ...
    @overload
    def histogram(
        self, name: str, help: str, labels: Sequence[str], *, buckets: Sequence[float] = ...
    ) -> Family[Histogram]: ...
    def histogram(
        self, name: str, help: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = DEFAULT_BUCKETS
    ) -> Histogram | Family[Histogram]:
        """Observations by size; `buckets` are upper bounds, inclusive, growing; `+Inf` is added."""
        bounds = _bounds(name, buckets)
        make = lambda: Histogram(bounds)  # noqa: E731
        return _offered(self._declare("histogram", name, help, labels, make, bounds=bounds, reserved=("le",)))

    def include(self, other: "Registry") -> None:
        """Expose the instruments of `other` too, as an application does with those of a library."""
        with self._lock:
            if other is self or other in self._included:
                return
            if self in other._reachable():
                raise DeclarationError("a registry cannot include one that includes it")
            mine = {name for registry in self._relatives() for name in registry._families}
            twice = mine & {name for registry in other._relatives() for name in registry._families}
            if twice and other not in self._relatives():
                raise DeclarationError(f"declared in both registries: {', '.join(sorted(twice))}")
            self._included.append(other)
            other._includers.append(self)

    def collect(self) -> list[MetricFamily]:
        """Every family at this instant, by name."""
        families = [family for registry in self._reachable() for family in list(registry._families.values())]
        collected = [family.family() for family in families]
        dropped = [(family.metadata.name, float(family.dropped)) for family in families if family.dropped]
        if dropped:
            keys = [series_key("obs_series_dropped_total", {"metric": name}) for name, _ in dropped]
            collected.append(MetricFamily(_DROPPED, keys, [value for _, value in dropped]))
        return sorted(collected, key=lambda family: family.metadata.name)

    def reset(self) -> None:
        """Set every instrument to zero, as a forked child does: its parent goes on counting them."""
        for registry in self._reachable():
            registry._lock = RLock()
            for family in list(registry._families.values()):
                family.reset()

    def _declare(
        self,
        kind: MetricKind,
        name: str,
        help: str,
        labels: Sequence[str],
        make: Callable[[], S],
        *,
        aggregate: str = "sum",
        bounds: tuple[float, ...] = (),
        reserved: Sequence[str] = (),
    ) -> Family[S]:
        name = family_name(kind, name)
        metadata = MetricMetadata(name, kind, help)
        family: Family[S] = Family(
            metadata, label_names(name, labels, reserved), make, aggregate=aggregate, bounds=bounds
        )
        with self._lock:
            for registry in self._relatives():
                known = registry._families.get(name)
                if known is not None:
                    if not known.same_as(family):
                        raise DeclarationError(_differs(known, family))
                    return known
            self._families[name] = family
        return family

    def _reachable(self) -> "Iterator[Registry]":
        seen: list[Registry] = []
        waiting = [self]
        while waiting:
            registry = waiting.pop()
            if registry not in seen:
                seen.append(registry)
                waiting += registry._included
        return iter(seen)

    def _relatives(self) -> "list[Registry]":
        """All that are exposed together with this one, through whoever includes it."""
        seen: list[Registry] = []
        waiting = [self]
        while waiting:
            registry = waiting.pop()
            if registry not in seen:
                seen.append(registry)
                waiting += registry._included + registry._includers
        return seen


def _offered(family: Family[S]) -> S | Family[S]:
    return family if family.label_names else family.only


def _bounds(name: str, buckets: Sequence[float]) -> tuple[float, ...]:
    bounds = tuple(float(bound) for bound in buckets)
    if bounds and bounds[-1] == float("inf"):
        bounds = bounds[:-1]
    if not bounds:
        raise DeclarationError(f"the histogram {name} needs at least one bucket")
    if any(not low < high for low, high in pairwise(bounds)) or bounds[0] != bounds[0]:
        raise DeclarationError(f"the buckets of {name} must grow from each to the next, not {bounds}")
    return bounds


def _differs(known: Family[Any], family: Family[Any]) -> str:
    return (
        f"{family.metadata.name} is declared already as a {known.metadata.kind} with labels {known.label_names}"
        f"{f' and buckets {known.bounds}' if known.bounds else ''}, so not as a {family.metadata.kind} with labels"
        f" {family.label_names}{f' and buckets {family.bounds}' if family.bounds else ''}: use another name"
    )
