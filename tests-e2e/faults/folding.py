"""`kill -9` at random points of counting on a board and of folding the dead, which also fails on a full disk.

`python -m faults.folding FOLDER COUNT SEED`
"""

import errno
import json
import os
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path

from obs_core import MetricFamily, MetricMetadata
from obs_runtime._board.board import Board

from .children import changes, child, child_result, fail_at, in_lanes
from .figures import Figures, holds
from .storing import Ack

WORKERS = 3


def folds(folder: Path, count: int) -> Figures:
    """So many kills of workers and of those who fold them; totals are exactly what was published."""
    return in_lanes("folding", folder, count)


def lane(folder: Path, count: int, seed: int) -> dict[str, int]:
    chance = random.Random(seed)
    board = folder / "obs.db-live"
    keeper = os.fork()
    if keeper == 0:
        _keep(board)
    killed = folded = 0
    total = 0
    try:
        while killed < count:
            for number in range(WORKERS):
                ack = Ack(folder)
                ack.batch(0)
                killed += not child(20, _count, folder, board, chance.randrange(1, 120))
                published, _ = ack.read()
                ack.close()
                seen = child_result(_total, board)
                holds(
                    published <= seen - total <= published + 1,
                    f"worker {number}: {published} published, the total grew by {seen - total}",
                )
                total = seen
            child_result(_fold, board, chance.randrange(1, 10), errno.ENOSPC)
            holds(child_result(_total, board) == total, "a fold on a full disk changed the total")
            while not child(20, _fold, board, chance.randrange(1, 20)):
                killed += 1
                holds(child_result(_total, board) == total, "a fold that was killed changed the total")
            holds(child_result(_total, board) == total, "a fold changed the total")
            folded += WORKERS
    finally:
        os.kill(keeper, 9)
        os.waitpid(keeper, 0)
    return {"kills": killed, "workers folded": folded, "counted, the total exactly so": total}


def _families(value: float) -> list[MetricFamily]:
    # More series from time to time, so that the file grows under the kills too.
    keys = ["a_total", *(f'a_total{{n="{number}"}}' for number in range(int(value) // 3))]
    return [MetricFamily(MetricMetadata("a", "counter", "A."), keys, [value, *[0.0] * (len(keys) - 1)])]


def _count(folder: Path, board: Path, change: int) -> int:
    fail_at(change)
    ack, worker = Ack(folder), Board(board)
    for value in range(1, 10**6):
        worker.publish(_families(float(value)))
        ack.batch(value)
    return changes()


def _total(board: Path) -> int:
    return int(sum(one.values[0] for one in Board(board).collect() if one.metadata.name == "a"))


def _fold(board: Path, change: int, error: int = 0) -> None:
    fail_at(change, error)
    # With no error it is killed there, and raises nothing.
    with suppress(OSError):
        Board(board).fold()


def _keep(board: Path) -> None:
    """Live on, so that the run does."""
    worker = Board(board)
    worker.publish([])
    while True:
        signal.pause()


if __name__ == "__main__":
    print(json.dumps(lane(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
