"""What dead workers left: sums, and marks of who is in them. Nothing here does I/O.

Sums and marks are one file, replaced whole, so that no reader ever sees a worker in neither or in both.
"""

import json
import secrets
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final
from zlib import crc32

from obs_core import MetricMetadata

from . import bounds
from ._errors import DamagedError, UnknownFormatError
from .model import LASTING, Column, Published, common_bounds, within

MAGIC: Final = b"obs-past"
VERSION: Final = 1
_HEADER: Final = struct.Struct("<8sI8sI")
KEEP_MARK: Final = 600.0

RunKey = tuple[int, str, str]


@dataclass(slots=True)
class Sum:
    """The sums of one family. What rounding left over is kept, so that the order of dying does not show."""

    metadata: MetricMetadata
    aggregate: str
    created: float
    started: float
    values: dict[str, float] = field(default_factory=dict)
    low: dict[str, list[float]] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)

    def column(self) -> Column:
        """As it stands beside the columns of living workers; slots begin at 0."""
        keys = list(self.values)
        return Column(self.metadata, self.aggregate, self.created, self.started, keys, list(range(len(keys))))

    def add(self, key: str, value: float) -> None:
        partials = [*self.low.pop(key, ()), self.values.get(key, 0.0)]
        partials = grown(partials, value)
        self.values[key] = partials.pop()
        if partials:
            self.low[key] = partials


@dataclass(slots=True)
class Retired:
    """`marks` says of each worker that is in the sums when it came in, in seconds of the monotonic clock."""

    runs: list[RunKey] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)
    sums: dict[str, Sum] = field(default_factory=dict)
    nonce: bytes = b""

    def fold(self, worker: Published, now: float, shown: bounds.Shown = lambda _metric: ()) -> list[str]:
        """Take a dead worker in; the names that were left out, being of another kind. Its gauges go, unless latest.

        `shown` gives the series of a metric that others have.
        """
        conflicts = []
        for column in worker.columns:
            if column.metadata.kind not in LASTING and column.rule != "latest":
                continue
            if not self._fold_column(column, worker, shown):
                conflicts.append(column.metadata.name)
        self.marks[worker.id] = now
        return conflicts

    def prune(self, now: float, present: set[str]) -> None:
        """Forget old marks of files that are gone: no reader can have them any more."""
        for worker, marked in list(self.marks.items()):
            if marked > now:
                # The clock begins anew with the machine.
                self.marks[worker] = now
            elif worker not in present and now - marked > KEEP_MARK:
                del self.marks[worker]

    def outlive(self, now: float) -> None:
        """Forget series of `latest` gauges that nobody set for long; `now` is in Unix seconds."""
        for one in self.sums.values():
            if one.times:
                stay = bounds.newest(one.times, now)
                one.values = {key: one.values[key] for key in stay}
                one.times = {key: one.times[key] for key in stay}

    def published(self) -> Published:
        """The sums as something to merge."""
        columns: list[Column] = []
        values: list[float] = []
        low: dict[int, list[float]] = {}
        times: dict[str, float] = {}
        for one in self.sums.values():
            column = one.column()
            column.slots = [slot + len(values) for slot in column.slots]
            columns.append(column)
            slots = dict(zip(column.keys, column.slots, strict=True))
            low.update((slots[key], rest) for key, rest in one.low.items())
            values += one.values.values()
            times |= one.times
        shape = (self.nonce, len(values))
        return Published("", -1, shape, columns, array("d", [*values, 0.0]), times, {}, low)

    def _fold_column(self, column: Column, worker: Published, shown: bounds.Shown) -> bool:
        name = column.metadata.name
        known = self.sums.get(name)
        if known is not None and known.metadata.kind != column.metadata.kind:
            if column.started < known.started:
                return False
            known = None
        if known is None:
            known = Sum(column.metadata, column.aggregate, column.created, column.started)
            self.sums[name] = known
        _describe(known, column)
        if column.rule == "latest":
            _keep_latest(known, column, worker)
        else:
            _add_up(known, column, worker, shown)
        return True


def encode(retired: Retired) -> bytes:
    sums = [
        [
            [one.metadata.name, one.metadata.kind, one.metadata.help, one.metadata.unit],
            [one.aggregate, one.created, one.started],
            [one.values, one.low, one.times],
        ]
        for one in retired.sums.values()
    ]
    body = json.dumps([retired.runs, retired.marks, sums], separators=(",", ":")).encode()
    return _HEADER.pack(MAGIC, VERSION, secrets.token_bytes(8), crc32(body)) + body


def nonce_of(content: bytes) -> bytes:
    """The name of this very content."""
    return content[12:20]


def decode(content: bytes) -> Retired:
    """Raises `UnknownFormatError` for another version, `DamagedError` for what is none of ours."""
    if len(content) < _HEADER.size or not content.startswith(MAGIC):
        raise DamagedError("no file of retired sums")
    _, version, nonce, checksum = _HEADER.unpack_from(content)
    if version != VERSION:
        raise UnknownFormatError(f"retired sums of format {version}, where {VERSION} is known")
    body = content[_HEADER.size :]
    if crc32(body) != checksum:
        raise DamagedError("the retired sums do not fit their checksum")
    runs, marks, sums = json.loads(body)
    found = [Sum(MetricMetadata(*metadata), *head, *tables) for metadata, head, tables in sums]
    return Retired([_run_key(run) for run in runs], marks, {one.metadata.name: one for one in found}, nonce)


def grown(partials: Sequence[float], value: float) -> list[float]:
    """An exact sum as floats that do not overlap, small to large, with one number more (Shewchuk, 1997)."""
    total = value
    rest = []
    for partial in partials:
        large, small = (total, partial) if abs(total) >= abs(partial) else (partial, total)
        total = large + small
        if not isfinite(total):
            return [sum(partials, value)]
        if low := small - (total - large):
            rest.append(low)
    return [*rest, total]


def _describe(known: Sum, column: Column) -> None:
    """The newest says what it is, the oldest since when it counts."""
    if column.started >= known.started:
        known.metadata, known.aggregate, known.started = column.metadata, column.aggregate, column.started
    known.created = min(known.created or column.created, column.created or known.created)


def _add_up(known: Sum, column: Column, worker: Published, shown: bounds.Shown) -> None:
    common = common_bounds([known.column(), column]) if column.metadata.kind == "histogram" else None
    if common is not None:
        known.values = {key: value for key, value in known.values.items() if within(key, common)}
        known.low = {key: low for key, low in known.low.items() if key in known.values}
    moved = bounds.moved(column, known.values, worker, shown)
    for key, slot in zip(column.keys, column.slots, strict=True):
        if within(key, common):
            known.add(moved.get(key, key), worker.values[slot])


def _keep_latest(known: Sum, column: Column, worker: Published) -> None:
    for key, slot in zip(column.keys, column.slots, strict=True):
        changed = worker.times.get(key, 0.0)
        if changed >= known.times.get(key, 0.0):
            known.values[key], known.times[key] = worker.values[slot], changed


def _run_key(fields: Any) -> RunKey:
    pid, started, boot = fields
    return pid, started, boot
