"""python3 tools/dev.py COMMAND

demo [--host] [--port] [--workers] [--data FOLDER] [--no-traffic]   a live service to look at
test [PACKAGE ...]      every test, on built wheels, with the newest and the lowest dependencies
check [STEP ...]        ruff-check, ruff-format, mypy, contracts, dependencies, api (all where none is named)
build [PACKAGE ...]     wheels and source archives, into dist/
audit                   known weaknesses in what is installed, where the package index knows of them
bench [PACKAGE ...] [OPTIONS]           our figures beside the peers'; `bench PACKAGE --help` tells its options
replay FOLDER [--storage sqlite|ring|memory|all]   a folder of log files through the whole path
soak [NAME ...] [--minutes N]           kills, power cuts, full disks and strangers, for minutes
matrix [PACKAGE ...]    every Python found here, each line of FastAPI and Django
ANYTHING ELSE           is passed on to hatch
"""

from collections.abc import Callable

import audit
import bench
import checks
import demo
import pythons
import replay
import soak
import suites
from workspace import TOP, chosen, guarded, run, set_up, tool


def build(arguments: list[str]) -> int:
    """Let hatch build these packages (all where none is named) into `dist`."""
    names = chosen(arguments)
    set_up()
    return max(run(tool("hatch"), "build", str(TOP / "dist"), cwd=TOP / "packages" / name) for name in names)


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "demo": demo.main,
    "test": suites.main,
    "check": checks.main,
    "audit": audit.main,
    "build": build,
    "bench": bench.main,
    "replay": replay.main,
    "soak": soak.main,
    "matrix": pythons.main,
}


# These have no options of their own; those of `bench` are its scripts'.
PLAIN = ("audit", "bench", "build", "check")
HELP = ("-h", "--help")


def main(arguments: list[str]) -> int:
    """Do what the first argument says; without one, say what there is."""
    if (
        not arguments
        or arguments[0] in HELP
        or (arguments[0] in PLAIN and arguments[1:2] and arguments[1] in HELP)
    ):
        print(__doc__)
        return 0 if arguments else 2
    return guarded(dispatch, arguments)


def dispatch(arguments: list[str]) -> int:
    name, *rest = arguments
    if name in COMMANDS:
        return COMMANDS[name](rest)
    set_up()
    return run(tool("hatch"), *arguments)
