"""python3 tools/dev.py COMMAND

test [PACKAGE ...]      every test, on built wheels, with the newest and the lowest dependencies
check [STEP ...]        ruff-check, ruff-format, mypy, contracts (all where none is named)
bench [PACKAGE ...]     our figures beside the peers'
matrix [PACKAGE ...]    every Python found here, each line of FastAPI and Django
ANYTHING ELSE           is passed on to hatch
"""

import sys
from collections.abc import Callable

import bench
import checks
import pythons
import suites
from workspace import DevError, run, set_up, tool

COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "test": suites.main,
    "check": checks.main,
    "bench": bench.main,
    "matrix": pythons.main,
}


def main(arguments: list[str]) -> int:
    """Do what the first argument says; what cannot be done is one line and status 2."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    name, *rest = arguments
    try:
        if name in COMMANDS:
            return COMMANDS[name](rest)
        set_up()
        return run(tool("hatch"), *arguments)
    except DevError as problem:
        print(problem, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
