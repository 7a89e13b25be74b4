"""`kill -9` at random points of an upgrade: `python -m faults.upgrading FOLDER COUNT SEED`."""

import json
import random
import shutil
import sys
from pathlib import Path

from obs_storage_sqlite import SQLiteStorage

from . import version_1
from .children import changes, child, child_result, fail_at, in_lanes
from .figures import Figures


def upgrades(folder: Path, count: int) -> Figures:
    """So many kills; each upgrade is begun again until it is done, and then everything is there."""
    return in_lanes("upgrading", folder, count)


def lane(folder: Path, count: int, seed: int) -> dict[str, int]:
    chance = random.Random(seed)
    old, path = folder / "old.db", folder / "obs.db"
    child_result(version_1.make, old)
    shutil.copy(old, path)
    whole = child_result(_open, path, 0)
    killed = done = 0
    while killed < count:
        for file in folder.glob("obs.db*"):
            file.unlink()
        shutil.copy(old, path)
        while killed < count and not child(60, _open, path, chance.randrange(1, whole // 2)):
            killed += 1
        child_result(version_1.check, path)
        done += 1
    return {"kills": killed, "files upgraded, nothing lost": done}


async def _open(path: Path, change: int) -> int:
    """How many changes of files it took."""
    fail_at(change)
    async with SQLiteStorage(path):
        pass
    return changes()


if __name__ == "__main__":
    print(json.dumps(lane(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
