"""The registry: where instruments are declared and collected. There is no global one."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from threading import RLock
from typing import Any, Final, Literal, overload

from ._attributes import valid_text
from ._errors import DeclarationError
from ._exact import Tally
from ._families import Family, Info, One, S, Series
from ._instruments import DEFAULT_BUCKETS, Counter, Gauge, Histogram
from ._names import checked_unit, family_name, label_names
from ._oddities import counted_oddities
from ._records import MetricFamily, MetricKind, MetricMetadata

Aggregate = Literal["sum", "max", "min", "latest", "per_worker"]
_AGGREGATES: Final = ("sum", "max", "min", "latest", "per_worker")


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
    def counter(  # type: ignore[overload-overlap]
        self, name: str, help: str, labels: tuple[()] = (), *, unit: str = ""
    ) -> Counter: ...
    @overload
    def counter(self, name: str, help: str, labels: Sequence[str], *, unit: str = "") -> Family[Counter]: ...
    def counter(
        self, name: str, help: str, labels: Sequence[str] = (), *, unit: str = ""
    ) -> Counter | Family[Counter]:
        """A total that only grows; `orders` and `orders_total` are one family, exposed as `orders_total`.

        `unit` is the word that the name ends in (before `_total`), as `seconds`; OpenMetrics shows it.
        """
        return _offered(self._declare("counter", name, help, labels, Counter, unit=unit))

    @overload
    def gauge(  # type: ignore[overload-overlap]
        self, name: str, help: str, labels: tuple[()] = (), *, aggregate: Aggregate = "sum", unit: str = ""
    ) -> Gauge: ...
    @overload
    def gauge(
        self, name: str, help: str, labels: Sequence[str], *, aggregate: Aggregate = "sum", unit: str = ""
    ) -> Family[Gauge]: ...
    def gauge(
        self,
        name: str,
        help: str,
        labels: Sequence[str] = (),
        *,
        aggregate: Aggregate = "sum",
        unit: str = "",
    ) -> Gauge | Family[Gauge]:
        """A value that goes up and down; `aggregate` says what several workers make of it."""
        if aggregate not in _AGGREGATES:
            raise DeclarationError(
                f"unknown aggregate {aggregate!r} of {name}: use one of {', '.join(_AGGREGATES)}"
            )
        reserved = ("worker",) if aggregate == "per_worker" else ()
        make: Callable[[Tally], Gauge] = Gauge
        if aggregate == "latest":
            from ._latest import LatestGauge  # few need it, and imports take time  # noqa: PLC0415

            make = LatestGauge
        family = self._declare(
            "gauge", name, help, labels, make, aggregate=aggregate, reserved=reserved, unit=unit
        )
        return _offered(family)

    @overload
    def histogram(  # type: ignore[overload-overlap]
        self, name: str, help: str, labels: tuple[()] = (), *, buckets: Sequence[float] = ..., unit: str = ""
    ) -> Histogram: ...
    @overload
    def histogram(
        self, name: str, help: str, labels: Sequence[str], *, buckets: Sequence[float] = ..., unit: str = ""
    ) -> Family[Histogram]: ...
    def histogram(
        self,
        name: str,
        help: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float] = DEFAULT_BUCKETS,
        unit: str = "",
    ) -> Histogram | Family[Histogram]:
        """Observations by size; `buckets` are upper bounds, inclusive, growing; `+Inf` is added."""
        bounds = _bounds(name, buckets)
        family = self._declare(
            "histogram",
            name,
            help,
            labels,
            partial(Histogram, bounds),
            bounds=bounds,
            reserved=("le",),
            unit=unit,
        )
        return _offered(family)

    def info(self, name: str, help: str, labels: Sequence[str]) -> Info:
        """Facts as labels of a series that is always 1, as a version; exposed as `name_info`."""
        if not labels:
            raise DeclarationError(f"the info {name!r} needs labels: they are what it says")
        family = self._declare("info", name, help, labels, lambda _: One(), aggregate="max", family=Info)
        assert isinstance(family, Info)  # noqa: S101  # for the type checker: `same_as` compared the kinds
        return family

    def declare_counter(self, name: str, help: str, make: Callable[[], Series]) -> None:
        """A counter that something else counts: `make` gives the series that knows its value."""
        self._declare("counter", name, help, (), lambda _: make())

    def declare_gauge(
        self, name: str, help: str, make: Callable[[], Series], *, aggregate: Aggregate = "sum"
    ) -> None:
        """A gauge whose value something else knows at once; for what may take its time there is `set_function`."""
        self._declare("gauge", name, help, (), lambda _: make(), aggregate=aggregate)

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
        for family in families:
            # All at once, before the first is waited for.
            if family.tally.functions is not None:
                family.tally.functions.ask()
        collected = [family.family() for family in families]
        collected += counted_oddities(families)
        return sorted(collected, key=lambda family: family.metadata.name)

    def hold_to(self, service: Sequence[MetricFamily]) -> None:
        """Bound each metric by what the whole service shows of it, as its runtime collected it."""
        shown = {family.metadata.name: family.keys for family in service}
        for registry in self._reachable():
            for family in list(registry._families.values()):
                if family.aggregate != "per_worker" and family.metadata.name in shown:
                    family.hold_to(shown[family.metadata.name])

    def reset(self, *, gauges: bool = True) -> None:
        """Set every instrument to zero, as a forked child does: its parent goes on counting them.

        Without `gauges` these stay: where the parent shows them to nobody, they are the child's to show.
        """
        for registry in self._reachable():
            registry._lock = RLock()
            for family in list(registry._families.values()):
                if gauges or family.metadata.kind != "gauge":
                    family.reset()

    def _declare(
        self,
        kind: MetricKind,
        name: str,
        help: str,
        labels: Sequence[str],
        make: Callable[[Tally], S],
        *,
        aggregate: str = "sum",
        bounds: tuple[float, ...] = (),
        reserved: Sequence[str] = (),
        unit: str = "",
        family: type[Family[Any]] = Family,
    ) -> Family[S]:
        name = family_name(kind, name)
        metadata = MetricMetadata(name, kind, valid_text(help), checked_unit(name, unit))
        made: Family[S] = family(
            metadata, label_names(name, labels, reserved), make, aggregate=aggregate, bounds=bounds
        )
        with self._lock:
            for registry in self._relatives():
                known = registry._families.get(name)
                if known is not None:
                    if not known.same_as(made):
                        raise DeclarationError(_differs(known, made))
                    return known
            self._families[name] = made
        return made

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
