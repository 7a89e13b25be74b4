"""Which series stands in which slot of a worker's file; both sides of it. Nothing here does I/O."""

import json
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from obs_core import Exemplar, MetricFamily, MetricMetadata

from .format import decode_records, encode_record
from .model import Column, labelled


class RearrangedError(Exception):
    """A series went, or a family changed: the file must be written anew."""


@dataclass(slots=True)
class _Family:
    metadata: MetricMetadata
    aggregate: str
    created: float
    index: int
    keys: Sequence[str]  # as they came last, in their order
    slots: dict[str, int]

    def same(self, family: MetricFamily) -> bool:
        return (self.metadata, self.aggregate, self.created) == (
            family.metadata,
            family.aggregate,
            family.created,
        )


class Slots:
    """The writer's side: gives each series a slot for life, and puts values in their order."""

    def __init__(self, service: str = "") -> None:
        self._service: Final = service
        self._families: dict[str, _Family] = {}
        self._count = 0
        self._order: list[int] = []
        self._changed: dict[str, tuple[float, float]] = {}

    def anew(self) -> "Slots":
        """Begin again, as for a new file; what is known of `latest` gauges stays."""
        fresh = Slots(self._service)
        fresh._changed = self._changed
        return fresh

    def fit(self, families: Sequence[MetricFamily]) -> bytes:
        """Give slots to what is new; the record that says so, empty where nothing is.

        Raises `RearrangedError` where adding is not enough; then nothing is changed.
        """
        if self._fits(families):
            return b""
        for family in families:
            known = self._families.get(family.metadata.name)
            if known is not None and not (known.same(family) and known.slots.keys() <= set(family.keys)):
                raise RearrangedError
        if not self._families.keys() <= {family.metadata.name for family in families}:
            raise RearrangedError
        record = [entry for family in families if (entry := self._add(family)) is not None]
        self._arrange(families)
        return encode_record(record)

    def values(self, families: Sequence[MetricFamily]) -> "array[float]":
        """The values of families that fit, in the order of slots."""
        flat: list[float] = []
        for family in families:
            flat += family.values
        if self._order:
            return array("d", itemgetter(*self._order)(flat))
        return array("d", flat)

    def placed(self, families: Sequence[MetricFamily], count: int) -> "array[float]":
        """The values of those series that have one of the first `count` slots; 0 of gauges that went.

        Raises `RearrangedError` where another family than a gauge went or changed, whose total would fall.
        """
        values = array("d", bytes(8 * count))
        given = {family.metadata.name: family for family in families}
        for name, known in self._families.items():
            family = given.get(name)
            if family is None or not known.same(family):
                if known.metadata.kind != "gauge":
                    raise RearrangedError
                continue
            for key, value in zip(family.keys, family.values, strict=True):
                slot = known.slots.get(key, count)
                if slot < count:
                    values[slot] = value
        return values

    def beside(self, families: Sequence[MetricFamily], now: float, slots: int | None = None) -> bytes:
        """What goes along, as JSON: exemplars, and when each `latest` gauge changed; empty where there is none.

        With `slots`, exemplars are those of the first so many.
        """
        times, exemplars = self._times(families, now), self.exemplars(families)
        exemplars = {slot: one for slot, one in exemplars.items() if slots is None or slot < slots}
        if not times and not exemplars:
            return b""
        fields = {slot: (one.labels, one.value, one.timestamp) for slot, one in exemplars.items()}
        return json.dumps([times, fields], separators=(",", ":"), default=dict).encode()

    def exemplars(self, families: Sequence[MetricFamily]) -> dict[int, Exemplar]:
        """Exemplars by slot, of families that fit."""
        return {
            self._families[family.metadata.name].slots[family.keys[index]]: one
            for family in families
            for index, one in family.exemplars.items()
        }

    def _fits(self, families: Sequence[MetricFamily]) -> bool:
        if len(families) != len(self._families):
            return False
        for family, known in zip(families, self._families.values(), strict=True):
            if known.keys != family.keys or not known.same(family):
                return False
        return True

    def _add(self, family: MetricFamily) -> list[Any] | None:
        metadata = family.metadata
        known = self._families.get(metadata.name)
        head: list[Any] | None = None
        if known is None:
            described = (metadata.name, metadata.kind, metadata.help, metadata.unit)
            head = [*described, family.aggregate, family.created]
            known = _Family(metadata, family.aggregate, family.created, len(self._families), [], {})
            self._families[metadata.name] = known
        new = [key for key in dict.fromkeys(family.keys) if key not in known.slots]
        for key in new:
            known.slots[key] = self._count
            self._count += 1
        if head is None and not new:
            return None
        return [known.index, head, [self._named(key) for key in new]]

    def _named(self, key: str) -> str:
        return labelled(key, "service", self._service) if self._service else key

    def _arrange(self, families: Sequence[MetricFamily]) -> None:
        """Remember the order of these, which is that of their next coming as a rule."""
        self._families = {family.metadata.name: self._families[family.metadata.name] for family in families}
        places: dict[int, int] = {}
        place = 0
        for family in families:
            known = self._families[family.metadata.name]
            known.keys = list(family.keys)
            for key in known.keys:
                places[known.slots[key]] = place
                place += 1
        order = [places[slot] for slot in range(self._count)]
        # Two at least, since itemgetter gives no tuple for one.
        self._order = order if order != list(range(place)) else []

    def _times(self, families: Sequence[MetricFamily], now: float) -> dict[str, float]:
        times: dict[str, float] = {}
        known, self._changed = self._changed, {}
        for family in families:
            if family.aggregate != "latest" or family.metadata.kind != "gauge":
                continue
            if family.set_at:
                times.update(zip(map(self._named, family.keys), family.set_at, strict=True))
                continue
            for key, value in zip(family.keys, family.values, strict=True):
                # A gauge without labels is 0 before anybody sets it: that is older than everything.
                before, changed = known.get(key, (0.0, now if "{" in key else 0.0))
                changed = changed if value == before else now
                self._changed[key] = value, changed
                times[self._named(key)] = changed
        return times


class Columns:
    """The reader's side: what the records of keys say, which are only added to."""

    def __init__(self, started: float) -> None:
        self.columns: list[Column] = []
        self.count = 0
        self.parsed = 0
        self._started: Final = started

    def add(self, keys: bytes) -> None:
        """Take the next records over. Raises `DamagedError`; then nothing is changed."""
        for record in list(decode_records(keys)):
            for index, head, names in record:
                if head is not None:
                    name, kind, help_text, unit, aggregate, created = head
                    metadata = MetricMetadata(name, kind, help_text, unit)
                    self.columns.append(Column(metadata, aggregate, created, self._started, [], []))
                column = self.columns[index]
                column.keys += names
                column.slots += range(self.count, self.count + len(names))
                self.count += len(names)
        self.parsed += len(keys)


def decode_extra(extra: bytes) -> tuple[Mapping[str, float], Mapping[int, Exemplar]]:
    """The times of `latest` gauges, and exemplars by slot."""
    if not extra:
        return {}, {}
    times, exemplars = json.loads(extra)
    return times, {int(slot): Exemplar(*fields) for slot, fields in exemplars.items()}
