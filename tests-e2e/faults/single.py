"""Each change of a file fails once, one after the other, as in SQLite's own tests.

`python -m faults.single FOLDER COUNT SEED`: a short life of a storage, again and again; in each the next change fails,
or every so many-th, so that there are COUNT lives.
"""

import errno
import json
import random
import shutil
import sys
from pathlib import Path

from .children import changes, child_result, fail_at, in_lanes
from .figures import Figures
from .storing import check, with_small_blocks, work

BATCHES = 12
ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO}


def single_failures(folder: Path, count: int) -> Figures:
    """So many lives of a storage, in each of which one change of a file fails."""
    return in_lanes("single", folder, count)


def lane(folder: Path, count: int, seed: int) -> dict[str, int]:
    with_small_blocks()
    whole = child_result(_live, folder, 0, 0)
    chance = random.Random(seed)
    points = sorted(chance.sample(range(1, whole + 1), min(whole, count)))
    failed = dict.fromkeys(ERRORS, 0)
    for place, point in enumerate(points):
        name = list(ERRORS)[(place + seed) % 2]
        child_result(_live, folder, point, ERRORS[name])
        child_result(check, folder / "life", BATCHES)
        failed[name] += 1
    return {"changes in a life": whole, **{f"{name}, nothing lost": count for name, count in failed.items()}}


async def _live(folder: Path, change: int, error: int) -> int:
    """How many changes there were."""
    life = folder / "life"
    shutil.rmtree(life, ignore_errors=True)
    life.mkdir()
    fail_at(change, error)
    await work(life, 1, BATCHES, attempts=3)
    return changes()


if __name__ == "__main__":
    print(json.dumps(lane(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
