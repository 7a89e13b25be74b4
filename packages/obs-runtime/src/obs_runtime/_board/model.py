"""What the parts of the board hand to each other."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from obs_core import Exemplar, MetricMetadata
from obs_core.encoders import parse_series_key, series_key

# What a dead worker leaves: the rest is of those who live.
LASTING: Final = ("counter", "histogram")


@dataclass(slots=True)
class Column:
    """One family as one worker has it: `slots[i]` is where the value of `keys[i]` stands.

    `started` is when its worker began (Unix seconds): where two disagree on what a name means, the newest is right.
    """

    metadata: MetricMetadata
    aggregate: str
    created: float
    started: float
    keys: list[str]
    slots: list[int]

    @property
    def rule(self) -> str:
        """What several workers make of it."""
        kind = self.metadata.kind
        if kind == "info":
            return "max"
        return self.aggregate if kind == "gauge" else "sum"


@dataclass(frozen=True, slots=True)
class Published:
    """All that one worker published; the retired sums are one too, with an empty `id`.

    `values` has one 0.0 more than slots, so that slot -1 is nothing. Two with equal `shape` have equal columns.
    `times` says when a `latest` gauge changed; `low` is what the rounding of a slot left over.
    """

    id: str
    number: int
    shape: Hashable
    columns: Sequence[Column]
    values: Sequence[float]
    times: Mapping[str, float] = field(default_factory=dict)
    exemplars: Mapping[int, Exemplar] = field(default_factory=dict)
    low: Mapping[int, Sequence[float]] = field(default_factory=dict)


def bound_of(key: str) -> str | None:
    """The upper bound in the key of a bucket, as it is written; None for other series."""
    # Parsed, since a label's value may hold what looks like a bound.
    name, labels = parse_series_key(key)
    return labels.get("le") if name.endswith("_bucket") else None


def bounds_of(column: Column) -> frozenset[str]:
    """The upper bounds of a histogram; empty where it has no series yet."""
    bounds = set()
    for key in column.keys:
        bound = bound_of(key)
        # A worker has one set of bounds for a histogram, so its first series tells.
        if bound is None or bound in bounds:
            break
        bounds.add(bound)
    return frozenset(bounds)


def common_bounds(columns: Sequence[Column]) -> frozenset[str] | None:
    """The bounds that all of them have, or None where none has others."""
    sets = {bounds for bounds in map(bounds_of, columns) if bounds}
    return frozenset.intersection(*sets) if len(sets) > 1 else None


def within(key: str, bounds: frozenset[str] | None) -> bool:
    """Whether a series stays where only these bounds are common."""
    return bounds is None or (bound := bound_of(key)) is None or bound in bounds


def labelled(key: str, label: str, value: str) -> str:
    """The key with one label more, in front; one of that name becomes `exported_…`, as Prometheus does."""
    name, labels = parse_series_key(key)
    others = {f"exported_{one}" if one == label else one: text for one, text in labels.items()}
    return series_key(name, {label: value, **others})
