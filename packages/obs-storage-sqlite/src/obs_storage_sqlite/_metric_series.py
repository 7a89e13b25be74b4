"""Samples out of windows and instants: one by one in the order of storing, or as whole series. Pure."""

from array import array
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from obs_core import MetricSample, MetricSeries

from ._looking import DAMAGE, Damage
from ._metric_paging import MetricPage, MetricPager, Opened, Wanted, is_whole
from ._points import unpack_values

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


def point_samples(rows: Sequence[Any], pager: MetricPager) -> list[MetricSample]:
    """The samples of instants, in the order of storing."""
    samples = []
    for row in _whole(rows, pager.damage):
        for id_, value in zip(pager.cache.ids(row[2]), unpack_values(row[4]), strict=True):
            if id_ in pager.wanted:
                name, labels = pager.wanted[id_]
                samples.append(MetricSample(name, value, row[1], labels))
    return samples


class Columns:
    """Collects whole series, in the order in which each is first met; no more than the query's limit of them."""

    def __init__(self, pager: MetricPager) -> None:
        self._pager = pager
        self._limit = pager.query.limit
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

    def add(self, page: MetricPage) -> None:
        """What a page holds; a damaged window is noted, and nothing of it is added any more."""
        for window in page.windows:
            try:
                self._add_window(window, window.rows(self._pager.query, page.start))
            except DAMAGE as error:
                self._pager.damage.note(f"the window {window.id}", error)
        self._add_points(page.points)

    def _add_window(self, window: Opened, rows: Sequence[int]) -> None:
        """Some rows of a window, ascending."""
        if not rows:
            return
        view = window.view
        span = range(rows[0], rows[-1] + 1)
        gapless = len(span) == len(rows)
        times = (
            view.times[span.start : span.stop] if gapless else array("d", [view.times[row] for row in rows])
        )
        for id_ in view.series(self._pager.wanted):
            series = self._of(id_)
            if series is None:
                continue
            # Values first: where their chunk is damaged, nothing is added.
            if gapless and isinstance(view.rows_of(id_), range):
                series.values.extend(view.column(id_, span.stop)[span.start : span.stop])
                series.times.extend(times)
            else:
                by_row = _by_row(window, id_)
                chosen = [row for row in rows if isinstance(by_row, array) or row in by_row]
                series.values.extend(by_row[row] for row in chosen)
                series.times.extend(view.times[row] for row in chosen)

    def _add_points(self, rows: Sequence[Any]) -> None:
        """Instants: those in a row that have the same series are turned into columns at once."""
        cache, wanted = self._pager.cache, self._pager.wanted
        for packed, group in groupby(_whole(rows, self._pager.damage), lambda row: row[2]):
            some = list(group)
            values = unpack_values(b"".join(row[4] for row in some))
            times = array("d", [row[1] for row in some])
            ids, places = cache.ids(packed), cache.places(packed)
            met = sorted((id_ for id_ in wanted if id_ in places), key=places.__getitem__)
            for id_ in met:
                series = self._of(id_)
                if series is not None:
                    series.times.extend(times)
                    series.values.extend(values[places[id_] :: len(ids)])

    def _of(self, id_: int) -> MetricSeries | None:
        """Where the samples of a series that is asked for go; None where there are enough."""
        found = self._series.get(id_)
        if found is None and (self._limit is None or len(self._series) < self._limit):
            name, labels = self._pager.wanted[id_]
            found = self._series[id_] = MetricSeries(name, labels, array("d"), array("d"))
        return found


def _whole(rows: Sequence[Any], damage: Damage) -> Iterator[Any]:
    """Instants but for those that are damaged, which are noted."""
    for row in rows:
        if is_whole(row):
            yield row
        else:
            damage.note(f"the instant {row[0]}", "its checksum is wrong")


def _by_row(window: Opened, id_: int) -> Any:
    rows, column = window.view.rows_of(id_), window.view.column(id_)
    return column if isinstance(rows, range) else dict(zip(rows, column, strict=True))
