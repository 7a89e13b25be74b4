"""`kill -9` at random points of opening, writing, merging, deleting: `python -m faults.kills FOLDER COUNT SEED`."""

import json
import random
import sys
from collections import Counter
from pathlib import Path

from .children import child, child_result, fail_at, in_lanes
from .figures import Figures
from .storing import KEPT, Ack, check, with_small_blocks, work

# So many batches are checked at once; a change is one system call, and a batch makes about ten.
CHANGES, SECONDS = 400, 0.15


def kills(folder: Path, count: int) -> Figures:
    """So many kills on two storages; each time everything is checked, and the next one goes on there."""
    found = in_lanes("kills", folder, count)
    return {name: found[name] for name in sorted(found, key=lambda name: (name.startswith("during"), name))}


def lane(folder: Path, count: int, seed: int) -> dict[str, int]:
    chance = random.Random(seed)
    with_small_blocks()
    ack = Ack(folder)
    during: Counter[str] = Counter()
    first, starts = 1, [1]
    for _ in range(count):
        # Half of them between two system calls of ours, the others at any time.
        change = chance.randrange(1, CHANGES) if chance.random() < 0.5 else 0
        seconds = 20.0 if change else chance.uniform(0.01, SECONDS)
        child(seconds, _work, folder, change, first)
        acknowledged, step = ack.read()
        during[f"during {step}"] += 1
        first = 1 + child_result(check, folder, acknowledged, first, starts)
        starts = [*starts[-KEPT:], first]
    return {"kills": count, "batches acknowledged, none lost": ack.read()[0], **during}


async def _work(folder: Path, change: int, first: int) -> None:
    fail_at(change)
    await work(folder, first, first + 10**6)


if __name__ == "__main__":
    print(json.dumps(lane(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
