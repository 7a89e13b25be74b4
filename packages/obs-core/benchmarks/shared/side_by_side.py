"""Us and our peers, measured in turns in one run, so that a noisy machine is noisy for all."""

import gc
import platform
from collections.abc import Callable, Mapping, Sequence
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


def compare(
    what: str, contestants: Mapping[str, Measure], budget: str = "", count: int = ROUNDS, us: str = US
) -> None:
    """Print a line for us and one for each peer: medians of rounds, and the ratio of the medians."""
    rows(what, rounds(contestants, count), budget, us)


def rows(what: str, figures: Mapping[str, Sequence[float]], budget: str = "", us: str = US) -> None:
    """The lines of figures that were measured in turns. `tools/picture.py` reads them."""
    ours = median(figures[us])
    print(f"{what:44} {us:40} {seconds(ours):>10}  {budget}")
    for name, theirs in figures.items():
        if name != us:
            ratio = median(theirs) / ours
            print(f"{'':44} {name:40} {seconds(median(theirs)):>10}  {ratio:.1f} times ours", flush=True)


def over(figures: Mapping[str, Sequence[float]], bare: str) -> dict[str, list[float]]:
    """What each costs over the bare one, round by round."""
    return {
        name: [one - zero for one, zero in zip(costs, figures[bare], strict=True)]
        for name, costs in figures.items()
        if name != bare
    }


def fewer(what: str, contestants: Mapping[str, Measure], bare: str, budget: str, count: int) -> None:
    """Print how many a second each makes, and how many fewer than the bare one, by the medians of the rounds."""
    figures = rounds(contestants, count)
    print(f"{what:44} {bare:40} {median(figures[bare]):>8.0f}/s  {budget}")
    for name, rates in figures.items():
        if name != bare:
            part = 1 - median(rates) / median(figures[bare])
            print(f"{'':44} {name:40} {median(rates):>8.0f}/s  {part:.1%} fewer", flush=True)


def named(package: str, addition: str = "") -> str:
    """A peer with its version."""
    return f"{package} {version(package)}{addition}"


def seconds(figure: float) -> str:
    """A figure in the unit that reads best."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if abs(figure) * factor >= 1.0:
            return f"{figure * factor:.2f} {unit}"
    return f"{figure * 1e9:.0f} ns"


def title(text: str, us: str = US, count: int = ROUNDS) -> None:
    """What is measured, and on what."""
    print(
        f"\n# {text}\n# {us} {version(us)}, Python {platform.python_version()}, median of {count} rounds in turns"
    )
