"""Families of many workers made one. Nothing here does I/O.

Which series go where is planned once, and again only when a worker has new series or comes or goes: between, a merge
only adds up columns.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from math import fsum, isfinite, nan
from operator import add, itemgetter
from typing import Final

from obs_core import Exemplar, MetricFamily, MetricMetadata

from .model import LASTING, Column, Published, common_bounds, labelled, within

Conflict = Callable[[str, str], None]
Places = list[tuple[int, int]]  # which worker, and its slot
_NOWHERE: Final = -1
_WHOLE: Final = 2.0**53  # whole numbers beyond it are not exact either


@dataclass(slots=True)
class _Merged:
    """A family of the service: where its values come from."""

    metadata: MetricMetadata
    rule: str
    aggregate: str
    created: float
    keys: list[str] = field(default_factory=list)
    first: int = 0  # of its keys among all that are added up
    places: list[Places] = field(default_factory=list)  # for the other rules


class Merger:
    """Merges what workers published; `on_conflict(worker, metric)` hears of a family that was left out."""

    def __init__(self, on_conflict: Conflict) -> None:
        self._on_conflict = on_conflict
        self._shape: list[Hashable] = []
        self._plan = _Plan([], on_conflict)

    def merge(self, published: Sequence[Published]) -> list[MetricFamily]:
        """The families of the service, by name. A counter that any of them has is never less than before."""
        shape = [one.shape for one in published]
        if shape != self._shape:
            self._plan = _Plan(published, self._on_conflict)
            self._shape = shape
        return self._plan.apply(published)


class _Plan:
    def __init__(self, published: Sequence[Published], on_conflict: Conflict) -> None:
        self._merged: list[_Merged] = []
        self._orders: list[list[int]] = [[] for _ in published]
        self._summed = 0
        for columns in _by_name(published).values():
            kept = _undisputed(published, columns, on_conflict)
            if kept:
                self._add(published, kept)
        # Two more, since itemgetter gives no tuple for one.
        self._pickers = [itemgetter(*order, _NOWHERE, _NOWHERE) for order in self._orders]

    def apply(self, published: Sequence[Published]) -> list[MetricFamily]:
        columns = [pick(one.values) for pick, one in zip(self._pickers, published, strict=True)]
        totals = list(columns[0][: self._summed]) if columns else []
        for column in columns[1:]:
            totals = list(map(add, totals, column))
        self._make_exact(totals, columns, published)
        exemplars = self._exemplars(published)
        return [self._family(merged, totals, published, exemplars) for merged in self._merged]

    def _add(self, published: Sequence[Published], columns: dict[int, Column]) -> None:
        newest = max(columns.values(), key=lambda column: column.started)
        created = min((column.created for column in columns.values() if column.created), default=0.0)
        merged = _Merged(newest.metadata, newest.rule, newest.aggregate, created)
        self._merged.append(merged)
        if merged.metadata.kind not in LASTING and merged.rule != "latest":
            columns = {index: column for index, column in columns.items() if published[index].id}
        if merged.rule == "sum":
            self._add_sums(merged, columns)
            return
        places: dict[str, Places] = {}
        for index, column in columns.items():
            for key, slot in zip(column.keys, column.slots, strict=True):
                if merged.rule == "per_worker":
                    key = labelled(key, "worker", str(published[index].number))  # noqa: PLW2901
                places.setdefault(key, []).append((index, slot))
        merged.keys, merged.places = list(places), list(places.values())

    def _add_sums(self, merged: _Merged, columns: dict[int, Column]) -> None:
        bounds = common_bounds(list(columns.values())) if merged.metadata.kind == "histogram" else None
        keys = dict.fromkeys(key for column in columns.values() for key in column.keys)
        merged.keys = [key for key in keys if within(key, bounds)] if bounds is not None else list(keys)
        merged.first = self._summed
        self._summed += len(merged.keys)
        for index, order in enumerate(self._orders):
            column = columns.get(index)
            slots = dict(zip(column.keys, column.slots, strict=True)) if column else {}
            order.extend([slots.get(key, _NOWHERE) for key in merged.keys])

    def _family(
        self,
        merged: _Merged,
        totals: list[float],
        published: Sequence[Published],
        exemplars: dict[int, Exemplar],
    ) -> MetricFamily:
        if merged.rule == "sum":
            first, end = merged.first, merged.first + len(merged.keys)
            values = totals[first:end]
            own = {at - first: one for at, one in exemplars.items() if first <= at < end} if exemplars else {}
        else:
            own = {}
            values = [
                _aggregated(merged.rule, key, places, published)
                for key, places in zip(merged.keys, merged.places, strict=True)
            ]
        return MetricFamily(merged.metadata, merged.keys, values, merged.aggregate, merged.created, own)

    def _make_exact(
        self, totals: list[float], columns: Sequence[Sequence[float]], published: Sequence[Published]
    ) -> None:
        """Sums of fractions, exact before their one rounding: in whatever order workers die, none is less than before.

        Whole numbers are exact as they are.
        """
        low = self._low(published)
        if len(columns) < 2 and not low:
            return
        inexact = set(low)
        for column in [totals, *columns]:
            if not all(map(float.is_integer, column)):
                inexact.update(
                    at for at, value in enumerate(column[: self._summed]) if not value.is_integer()
                )
        if max(totals, default=0.0) > _WHOLE:
            inexact.update(at for at, total in enumerate(totals) if total > _WHOLE)
        for at in inexact:
            parts = [*(column[at] for column in columns), *low.get(at, ())]
            if all(map(isfinite, parts)):
                totals[at] = fsum(parts)

    def _low(self, published: Sequence[Published]) -> dict[int, Sequence[float]]:
        """What rounding left over of sums of the dead, by its place among the sums."""
        return {
            at: one.low[slot]
            for one, order in zip(published, self._orders, strict=True)
            if one.low
            for at, slot in enumerate(order)
            if slot in one.low
        }

    def _exemplars(self, published: Sequence[Published]) -> dict[int, Exemplar]:
        """The newest of each series, by its place among the sums."""
        newest: dict[int, Exemplar] = {}
        for one, order in zip(published, self._orders, strict=True):
            if not one.exemplars:
                continue
            for at, slot in enumerate(order):
                exemplar = one.exemplars.get(slot)
                if exemplar and (at not in newest or exemplar.timestamp > newest[at].timestamp):
                    newest[at] = exemplar
        return newest


def _by_name(published: Sequence[Published]) -> dict[str, dict[int, Column]]:
    """The columns of each name by the place of their worker; names in their order."""
    names: dict[str, dict[int, Column]] = {}
    for index, one in enumerate(published):
        for column in one.columns:
            names.setdefault(column.metadata.name, {})[index] = column
    return {name: names[name] for name in sorted(names)}


def _undisputed(
    published: Sequence[Published], columns: dict[int, Column], on_conflict: Conflict
) -> dict[int, Column]:
    """Those that are of the kind that the newest worker says; the others are left out, and told."""
    kind = max(columns.values(), key=lambda column: column.started).metadata.kind
    for index, column in columns.items():
        if column.metadata.kind != kind:
            on_conflict(published[index].id, column.metadata.name)
    return {index: column for index, column in columns.items() if column.metadata.kind == kind}


def _aggregated(rule: str, key: str, places: Places, published: Sequence[Published]) -> float:
    if rule == "latest":
        index, slot = max(places, key=lambda place: (published[place[0]].times.get(key, 0.0), place[0]))
        return published[index].values[slot]
    values: Iterable[float] = (published[index].values[slot] for index, slot in places)
    values = [value for value in values if value == value]
    if rule == "min":
        return min(values, default=nan)
    return max(values, default=nan)
