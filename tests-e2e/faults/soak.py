"""Every scenario in its long form, with a table of what was seen: `python -m faults.soak [--minutes N] [NAME ...]`."""

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path

from .figures import BrokenPromiseError, Figures
from .folding import folds
from .forks import forks
from .fuzz import strangers
from .hanging import hanging
from .kills import kills
from .outages import flood, outages
from .power import cuts, upgrade_cuts
from .running import files_of_a_service, lock_holder_stands_still, real_disk_full, starts_in_any_case
from .single import single_failures
from .strange import strange_files
from .upgrading import upgrades
from .writers import writers

# What the sizes below take, about, on two cores.
MINUTES = 8


@dataclass(frozen=True)
class Scenario:
    """Its size is in seconds where it is no whole number, else in times."""

    title: str
    run: Callable[[Path, int], Figures] | Callable[[Path, float], Figures]
    size: int | float

    def scaled(self, by: float) -> int | float:
        return self.size * by if isinstance(self.size, float) else max(1, round(self.size * by))


SCENARIOS: dict[str, tuple[Scenario, ...]] = {
    "disk": (
        Scenario("each outage of the disk, seconds", outages, 10.0),
        Scenario("more lines than the queue holds, on a full disk", flood, 1_000_000),
        Scenario("a real disk that is full, seconds", real_disk_full, 15.0),
        Scenario("a lock holder that stands still, seconds", lock_holder_stands_still, 15.0),
    ),
    "kills": (
        Scenario("kills in writing, merging, deleting", kills, 600),
        Scenario("kills in an upgrade", upgrades, 200),
        Scenario("kills in counting and folding", folds, 200),
    ),
    "power": (
        Scenario("power cuts", cuts, 150),
        Scenario("power cuts in an upgrade", upgrade_cuts, 50),
        Scenario("changes of files that fail once", single_failures, 300),
    ),
    "writers": (Scenario("eight writers and a reader, seconds", partial(writers, quick=True), 60.0),),
    "files": (
        Scenario("strange files at start, rounds", strange_files, 2),
        Scenario("a start beside another application's file, seconds", starts_in_any_case, 3.0),
        Scenario("files of a service that runs, rounds", files_of_a_service, 3),
        Scenario("the same with three workers, rounds", partial(files_of_a_service, workers=3), 3),
    ),
    "host": (Scenario("a storage that hangs, rounds of 400 requests", partial(hanging, quick=True), 20),),
    "forks": (Scenario("forks beside writing, reading and counting", forks, 1000),),
    "strangers": (Scenario("bad things from strangers", strangers, 100_000),),
}


def perform(scenario: Scenario, by: float, folder: Path) -> bool:
    """Run it and print its figures; whether all held."""
    size = scenario.scaled(by)
    folder.mkdir()
    begun, output = time.monotonic(), StringIO()
    try:
        with redirect_stdout(output):
            figures = scenario.run(folder, size)  # type: ignore[arg-type]
        verdict = "held"
    except Exception as error:  # told, and the next one has its turn
        figures, verdict = {}, "BROKEN"
        print(output.getvalue()[-6000:])
        print(error if isinstance(error, BrokenPromiseError) else traceback.format_exc())
    print(f"\n{scenario.title}: {size:,g}".ljust(70), f"{verdict} ({time.monotonic() - begun:.0f} s)")
    for name, figure in figures.items():
        print(f"    {name.ljust(58)}{figure}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    return verdict == "held"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="dev.py soak", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--minutes", type=float, default=MINUTES)
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    top = Path(tempfile.mkdtemp(prefix="obs-soak-"))
    top.chmod(0o755)
    chosen = [one for name in options.names or SCENARIOS for one in SCENARIOS[name]]
    held = [
        perform(scenario, options.minutes / MINUTES, top / str(number))
        for number, scenario in enumerate(chosen)
    ]
    shutil.rmtree(top, ignore_errors=True)
    broken = len(held) - sum(held)
    print(f"\n{len(held)} scenarios, {broken} broken, {(time.monotonic() - begun) / 60:.1f} minutes")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
