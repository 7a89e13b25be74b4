"""What a registry says of itself: what was dropped, cut, ignored or failed, by metric."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from ._families import MAX_LABEL_VALUE, MAX_SERIES, Family
from ._records import MetricFamily, MetricMetadata
from ._series_keys import series_key

_ODDITIES: Final[Sequence[tuple[str, str, Callable[[Family[Any]], int]]]] = (
    (
        "obs_series_dropped",
        f"Uses of new label values over {MAX_SERIES} series of a metric, counted into its overflow series.",
        lambda family: family.dropped,
    ),
    (
        "obs_label_values_cut",
        f"Label values that were cut to {MAX_LABEL_VALUE} characters.",
        lambda family: family.cut,
    ),
    (
        "obs_values_ignored",
        "Values that were NaN, and so neither added nor observed.",
        lambda family: family.tally.ignored,
    ),
    (
        "obs_gauge_functions_failed",
        "Calls of functions of a gauge that raised, or took over 0.25 s for the first time.",
        lambda family: family.tally.failed,
    ),
)


def counted_oddities(families: Sequence[Family[Any]]) -> list[MetricFamily]:
    """A counter for each kind of oddity that there was, with a series for each metric that had it."""
    found = []
    for name, text, count in _ODDITIES:
        counts = {family.metadata.name: float(number) for family in families if (number := count(family))}
        if counts:
            keys = [series_key(f"{name}_total", {"metric": metric}) for metric in counts]
            created = min(family.created for family in families)
            found.append(
                MetricFamily(
                    MetricMetadata(name, "counter", text), keys, list(counts.values()), created=created
                )
            )
    return found
