"""Us and our peers, measured in turns in one run, so that a noisy machine is noisy for all."""

import gc
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version
from statistics import median
from time import thread_time
from timeit import Timer

ROUNDS = 7
US = "obs-core"
Measure = Callable[[], float]  # one round: seconds for one operation


def timed(statement: str, names: Mapping[str, object], number: int) -> Measure:
    """A round of `number` runs of a statement: the time of this thread, so that neighbours count less."""
    timer = Timer(statement, timer=thread_time, globals=dict(names))
    return lambda: timer.timeit(number) / number


def rounds(contestants: Mapping[str, Measure], count: int = ROUNDS) -> dict[str, list[float]]:
    """The figure of each contestant in each round; one round before is not counted."""
    figures: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(count + 1):
        for name, measure in contestants.items():
            gc.collect()
            figure = measure()
            if number:
                figures[name].append(figure)
    return figures


def compare(what: str, contestants: Mapping[str, Measure], budget: str = "", count: int = ROUNDS) -> None:
    """Print a line for us and one for each peer; a ratio is the median of those of the rounds."""
    figures = rounds(contestants, count)
    ours = figures[US]
    print(f"{what:44} {US:36} {seconds(median(ours)):>10}  {budget}")
    for name, theirs in figures.items():
        if name != US:
            ratio = median(their / our for their, our in zip(theirs, ours, strict=True))
            print(f"{'':44} {name:36} {seconds(median(theirs)):>10}  {ratio:.1f} times ours", flush=True)


def named(package: str, addition: str = "") -> str:
    """A peer with its version."""
    return f"{package} {version(package)}{addition}"


def seconds(figure: float) -> str:
    """A figure in the unit that reads best."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if abs(figure) * factor >= 1.0:
            return f"{figure * factor:.2f} {unit}"
    return f"{figure * 1e9:.0f} ns"


def title(text: str) -> None:
    """What is measured, and on what."""
    print(
        f"\n# {text}\n# {US} {version(US)}, Python {platform.python_version()}, median of {ROUNDS} rounds in turns"
    )
