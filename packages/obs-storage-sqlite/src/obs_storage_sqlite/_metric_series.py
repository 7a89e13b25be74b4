"""Samples out of windows and instants: one by one in the order of storing, or as whole series. Pure."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from obs_core import MetricSample, MetricSeries

from ._looking import DAMAGE, Damage
from ._metric_paging import Opened, point_values
from ._points import SeriesCache, unpack_values

# The series that a query asks for: name and labels by the id under which samples are stored.
Wanted = Mapping[int, tuple[str, dict[str, str]]]
_SLICE: Final = 4000


def window_samples(window: Opened, rows: Sequence[int], wanted: Wanted) -> Iterator[list[MetricSample]]:
    """The samples of some rows of a window, in the order of storing, some thousands at a time."""
    view = window.view
    columns = {id_: _by_row(window, id_) for id_ in wanted if view.chunks_of([id_])}
    samples: list[MetricSample] = []
    for row in rows:
        timestamp = view.times[row]
        for id_ in view.series_of(row):
            if id_ in columns:
                name, labels = wanted[id_]
                samples.append(MetricSample(name, columns[id_][row], timestamp, labels))
        if len(samples) >= _SLICE:
            yield samples
            samples = []
    yield samples


def point_samples(
    rows: Sequence[Any], wanted: Wanted, cache: SeriesCache, damage: Damage
) -> list[MetricSample]:
    """The samples of instants, in the order of storing."""
    samples = []
    for row in rows:
        values = point_values(row)
        if values is None:
            damage.note(f"the instant {row[0]}", "its checksum is wrong")
            continue
        for id_, value in zip(cache.ids(row[2]), values, strict=True):
            if id_ in wanted:
                name, labels = wanted[id_]
                samples.append(MetricSample(name, value, row[1], labels))
    return samples


class Columns:
    """Collects whole series, in the order in which each is first met; no more than `limit` of them."""

    def __init__(self, wanted: Wanted, limit: int | None, damage: Damage) -> None:
        self._wanted = wanted
        self._limit = limit
        self._damage = damage
        self._series: dict[int, MetricSeries] = {}

    def series(self) -> list[MetricSeries]:
        """What was collected; series of equal labels are one."""
        joined: dict[tuple[str, frozenset[tuple[str, str]]], MetricSeries] = {}
        for one in self._series.values():
            if not one.times:
                continue
            key = one.name, frozenset(one.labels.items())
            if key in joined:
                joined[key].times.extend(one.times)
                joined[key].values.extend(one.values)
            else:
                joined[key] = one
        return list(joined.values())

    def add_window(self, window: Opened, rows: Sequence[int]) -> None:
        """Some rows of a window, ascending."""
        if not rows:
            return
        view = window.view
        span = range(rows[0], rows[-1] + 1)
        gapless = len(span) == len(rows)
        times = (
            view.times[span.start : span.stop] if gapless else array("d", [view.times[row] for row in rows])
        )
        for id_ in view.series(self._wanted):
            series = self._of(id_)
            if series is None:
                continue
            if gapless and isinstance(view.rows_of(id_), range):
                series.times.extend(times)
                series.values.extend(view.column(id_, span.stop)[span.start : span.stop])
            else:
                by_row = _by_row(window, id_)
                chosen = [row for row in rows if isinstance(by_row, array) or row in by_row]
                series.times.extend(view.times[row] for row in chosen)
                series.values.extend(by_row[row] for row in chosen)

    def add_points(self, rows: Sequence[Any], cache: SeriesCache) -> None:
        """Instants: those in a row that have the same series are turned into columns at once."""
        good = [row for row in rows if self._is_whole(row)]
        for packed, group in groupby(good, lambda row: row[2]):
            some = list(group)
            values = unpack_values(b"".join(row[4] for row in some))
            times = array("d", [row[1] for row in some])
            ids = cache.ids(packed)
            for id_ in ids if len(ids) <= len(self._wanted) else self._in_order(cache, packed):
                series = self._of(id_)
                if series is not None:
                    series.times.extend(times)
                    series.values.extend(values[cache.places(packed)[id_] :: len(ids)])

    def _in_order(self, cache: SeriesCache, packed: bytes) -> list[int]:
        places = cache.places(packed)
        return sorted((id_ for id_ in self._wanted if id_ in places), key=places.__getitem__)

    def _is_whole(self, row: Any) -> bool:
        if point_values(row) is not None:
            return True
        self._damage.note(f"the instant {row[0]}", "its checksum is wrong")
        return False

    def _of(self, id_: int) -> MetricSeries | None:
        """Where the samples of a series go; None where they are not asked for."""
        found = self._series.get(id_)
        if found is None and id_ in self._wanted and (self._limit is None or len(self._series) < self._limit):
            name, labels = self._wanted[id_]
            found = self._series[id_] = MetricSeries(name, labels, array("d"), array("d"))
        return found


def open_window(row: Sequence[Any], cache: SeriesCache, damage: Damage) -> Opened | None:
    """A window, or None where it is damaged, which is noted."""
    try:
        return Opened(row, cache)
    except DAMAGE as error:
        damage.note(f"the window {row[0]}", error)
        return None


def _by_row(window: Opened, id_: int) -> Any:
    rows, column = window.view.rows_of(id_), window.view.column(id_)
    return column if isinstance(rows, range) else dict(zip(rows, column, strict=True))
