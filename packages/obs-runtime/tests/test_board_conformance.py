"""The board passes the shipped suite, and the suite fails on boards that are broken on purpose."""

import subprocess
import sys
from pathlib import Path

import pytest

from obs_core import WorkersPort
from obs_core.testing import WorkersConformance
from obs_runtime._board.board import Board

pytestmark = pytest.mark.integration


class Folder:
    """Workers of one folder; who is alive folds who is dead."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.workers: list[Board] = []

    def join(self) -> WorkersPort:
        self.workers.append(Board(self.path))
        return self.workers[-1]

    def leave(self, worker: WorkersPort) -> None:
        if worker in self.workers:
            self.workers.remove(worker)
            worker.close()
            self.workers[0].fold()


@pytest.fixture
def board(tmp_path):
    return Folder(tmp_path / "live")


class TestBoard(WorkersConformance):
    pass


SABOTAGED = """
import pytest
from msgspec.structs import replace
from obs_core.testing import WorkersConformance
from obs_runtime._board import board, bounds, fold, merge, model, retired, slots
{change}
import importlib.util, pathlib
spec = importlib.util.spec_from_file_location("conformance", {path!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
board = module.board
class TestBroken(WorkersConformance):
    pytestmark = pytest.mark.integration
"""
SABOTAGES = {
    "the dead are forgotten": (
        "retired.Retired._fold_column = lambda *given: True",
        ["dead_worker_leaves", "never_fall"],
    ),
    "a folded file is counted again": (
        """
fold_column = retired.Retired._fold_column
retired.Retired._fold_column = lambda *given: fold_column(*given) and fold_column(*given)
""",
        ["dead_worker_leaves", "never_fall"],
    ),
    "what the living show too is moved": (
        """
moved = bounds.moved
bounds.moved = lambda column, known, worker, shown: moved(column, known, worker, lambda _: ())
""",
        ["shared_with_the_living"],
    ),
    "gauges of the dead stay": (
        "retired.LASTING = merge.LASTING = ('counter', 'histogram', 'gauge')",
        ["dead_worker_leaves"],
    ),
    "every gauge is summed": ("model.Column.rule = 'sum'", ["each_gauge", "number_of_a_dead"]),
    "the first worker is right": (
        "merge.max = lambda columns, key: min(columns, key=key)",
        ["two_kinds", "help_is_the_newest"],
    ),
    "buckets are summed as they come": (
        "merge.common_bounds = retired.common_bounds = lambda columns: None",
        ["other_buckets"],
    ),
    "sums are rounded in the order of dying": (
        """
retired.grown = lambda partials, value: [sum(partials) + value]
merge._Plan._make_exact = lambda *_: None
""",
        ["never_fall"],
    ),
    "a removed series stays": (
        """
publish = board.Board.publish
def stubborn(self, families):
    kept = self.__dict__.setdefault("kept", {})
    for family in families:
        kept.setdefault(family.metadata.name, {}).update(zip(family.keys, family.values))
    series = [(family, kept[family.metadata.name]) for family in families]
    publish(self, [replace(family, keys=list(one), values=list(one.values())) for family, one in series])
board.Board.publish = stubborn
""",
        ["published_any_more"],
    ),
    "values stand in the order of coming": (
        """
arrange = slots.Slots._arrange
def careless(self, families):
    arrange(self, families)
    self._order = []
slots.Slots._arrange = careless
""",
        ["another_order"],
    ),
    "a publication is never replaced": (
        "board.Board._publish = lambda self, file, families: None",
        ["shows_what_was_published"],
    ),
    "every worker has one number": (
        "fold.Past.free_number = lambda self: 0",
        ["number_of_a_dead", "each_gauge"],
    ),
}


@pytest.mark.parametrize("name", SABOTAGES)
def test_the_suite_fails_on_a_board_where(name, tmp_path):
    change, failing = SABOTAGES[name]
    code = SABOTAGED.format(change=change, path=str(Path(__file__)))
    (tmp_path / "test_broken.py").write_text(code)
    config = Path(__file__).parent.parent.parent / "pytest.toml"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-c",
            str(config),
            f"--rootdir={tmp_path}",
            "-p",
            "no:cacheprovider",
            ".",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == 1, done.stdout
    for part in failing:
        assert any(line.startswith("FAILED") and part in line for line in done.stdout.splitlines()), (
            done.stdout
        )
