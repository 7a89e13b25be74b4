"""A page of metrics, read without any code of ours."""

import re
from dataclasses import dataclass

_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Page:
    """The samples of one scrape by their exposed key."""

    samples: dict[str, float]

    def total(self, name: str, **labels: str) -> float:
        """The sum of all series of this name that carry these labels; 0 where there is none."""
        return sum(
            value
            for key, value in self.samples.items()
            if (found := _labels_of(key, name)) is not None and labels.items() <= found.items()
        )

    def values(self, name: str, label: str) -> dict[str, float]:
        """The sum for each value of a label."""
        sums: dict[str, float] = {}
        for key, value in self.samples.items():
            found = _labels_of(key, name)
            if found is not None:
                sums[found.get(label, "")] = sums.get(found.get(label, ""), 0.0) + value
        return sums

    def totals(self) -> dict[str, float]:
        """What must never go down: counters, and the parts of histograms."""
        endings = ("_total", "_count", "_bucket", "_sum")
        return {key: value for key, value in self.samples.items() if key.partition("{")[0].endswith(endings)}


def metrics_of(text: str) -> Page:
    """Read text 0.0.4 without timestamps, as ours is."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return Page({key: float(value) for key, _, value in (line.rpartition(" ") for line in lines)})


def _labels_of(key: str, name: str) -> dict[str, str] | None:
    found, _, labels = key.partition("{")
    return dict(_LABEL.findall(labels)) if found == name else None
