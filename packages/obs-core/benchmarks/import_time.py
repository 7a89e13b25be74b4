# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
"""What an import costs, over that of msgspec, which it needs."""

import subprocess
import sys
from statistics import median
from time import perf_counter

from shared.side_by_side import ROUNDS, US, rounds, seconds, title


def measure(code: str) -> float:
    begun = perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return perf_counter() - begun


def main() -> None:
    title("Import, in a process of its own")
    figures = rounds(
        {"msgspec": lambda: measure("import msgspec"), US: lambda: measure("import msgspec, obs_core")},
        ROUNDS * 3,
    )
    over = median(ours - theirs for ours, theirs in zip(figures[US], figures["msgspec"], strict=True))
    print(
        f"{'import obs_core':44} {'over import msgspec':36} {'+' + seconds(over):>10}  budget: at most 30 ms"
    )


if __name__ == "__main__":
    main()
