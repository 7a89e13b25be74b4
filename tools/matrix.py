"""Which environments a package has, and which of them a change needs.

python3 tools/matrix.py environments obs-django       one environment of the matrix a line
python3 tools/matrix.py changed --since main          what a change touches, as JSON for CI
python3 tools/matrix.py changed packages/obs-django/src/obs_django/_views.py

The matrix itself is `tox.toml`. A factor such as `django52` belongs to the packages that need Django to run.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

from workspace import (
    TOP,
    DevError,
    chosen,
    command_line,
    guarded,
    packages,
    project,
    requirement_name,
    siblings,
)

PYTHON = re.compile(r"py(\d)(\d+)(t?)$")
E2E = "e2e"
# What is at the top of the repository and concerns no test.
WORDS = ("README.md", "LICENSE", ".gitignore", ".github/CONTRIBUTING.md", ".github/SECURITY.md")


def every_environment() -> list[str]:
    """What `env_list` of the matrix says, written out."""
    found: list[str] = []
    for entry in tomllib.loads((TOP / "tools" / "tox.toml").read_text(encoding="utf-8"))["env_list"]:
        groups = [[entry]] if isinstance(entry, str) else entry["product"]
        found += ["-".join(parts) for parts in product(*groups)]
    return found


def supported() -> list[str]:
    """The Pythons that the matrix names: `py311`, ..., `py314t`."""
    first = (name.split("-")[0] for name in every_environment())
    return sorted({factor for factor in first if PYTHON.match(factor)})


def line_of(factor: str) -> str:
    """The framework that a factor holds to a line of releases; empty for one that is none."""
    found = re.fullmatch(r"([a-z]+)\d+", factor)
    return found.group(1) if found and not PYTHON.match(factor) and found.group(1) != "py" else ""


def environments(package: str) -> list[str]:
    """The environments of a package: each Python and kind of dependencies, and the lines of the frameworks it needs."""
    needs = {requirement_name(line) for line in project(package)["project"]["dependencies"]}
    return [
        name
        for name in every_environment()
        if all(not line_of(factor) or line_of(factor) in needs for factor in name.split("-"))
    ]


def dependents(package: str) -> set[str]:
    """The packages that name this one, and those that name them."""
    found = {package}
    while more := {name for name in packages() if siblings(name) & found} - found:
        found |= more
    return found


def touched(paths: Iterable[str]) -> set[str]:
    """The packages, and the end-to-end suite, whose tests a change of these files may turn."""
    found: set[str] = set()
    for path in paths:
        parts = Path(path).parts
        if path in WORDS:
            continue
        if parts[0] == "packages" and len(parts) > 2 and parts[1] in packages():
            found |= dependents(parts[1]) | {E2E}
        elif parts[0] in ("tests-e2e", "examples"):
            found.add(E2E)
        else:
            found |= {*packages(), E2E}
    return found


def changed_since(revision: str) -> list[str]:
    """The files that differ between this revision's fork point and the working tree."""
    base = _git("merge-base", revision, "HEAD").strip()
    return _git("diff", "--name-only", base).splitlines()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=TOP, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DevError(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


def jobs(touched_names: set[str]) -> dict[str, Any]:
    """What a workflow needs to know: a job for each package and environment, and whether to run the suite over all."""
    include = []
    for package in packages():
        if package not in touched_names:
            continue
        for name in environments(package):
            found = PYTHON.match(name.split("-")[0])
            if found:
                version = f"{found.group(1)}.{found.group(2)}{found.group(3)}"
                include.append({"package": package, "environment": name, "python": version})
    return {"packages": sorted(touched_names - {E2E}), "e2e": E2E in touched_names, "include": include}


def main(arguments: list[str]) -> int:
    parser = command_line("matrix.py", __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    of = commands.add_parser("environments")
    of.add_argument("package")
    change = commands.add_parser("changed")
    change.add_argument("paths", nargs="*")
    change.add_argument("--since", help="a revision: what changed since it")
    options = parser.parse_args(arguments)
    if options.command == "environments":
        print("\n".join(environments(*chosen([options.package]))))
    else:
        paths = [*options.paths, *(changed_since(options.since) if options.since else [])]
        print(json.dumps(jobs(touched(paths))))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
