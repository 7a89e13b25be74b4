"""Which environments a package has, and which of them a change needs.

python3 tools/matrix.py environments obs-django       one environment of the matrix a line
python3 tools/matrix.py changed --since main          what a change touches, as JSON for CI
python3 tools/matrix.py changed packages/obs-django/src/obs_django/_views.py

The matrix itself is `tox.toml`. A factor such as `django52` belongs to the packages that need Django to run.
"""

import json
import re
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
    git,
    guarded,
    packages,
    project,
    requirement_name,
    siblings,
)

PYTHON = re.compile(r"py(\d)(\d+)(t?)$")
E2E = "e2e"
SYSTEMS = ("linux", "macos", "windows")
ELSEWHERE = "py313-newest"
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
    """The files that differ between this revision's fork point and the working tree.

    A revision that is not here (the first push of a branch, a forced one) says nothing: then it is every file.
    """
    known = git("cat-file", "-e", f"{revision}^{{commit}}") is not None
    base = git("merge-base", revision, "HEAD") if known else None
    found = git("diff", "--name-only", base) if base else git("ls-files")
    if found is None:
        raise DevError("git cannot be asked what changed: name the files instead")
    return found.splitlines()


def jobs_on(touched_names: set[str], system: str) -> list[dict[str, str]]:
    """A job for each touched package and environment: all on Linux, elsewhere the newest of one Python."""
    return [
        {"package": package, "environment": name, "python": python_number(name)}
        for package in packages()
        if package in touched_names
        for name in environments(package)
        if PYTHON.match(name.split("-")[0]) and (system == "linux" or name == ELSEWHERE)
    ]


def python_number(environment: str) -> str:
    """`py314t-newest` needs Python 3.14t."""
    return PYTHON.sub(r"\1.\2\3", environment.split("-", maxsplit=1)[0])


def plan(touched_names: set[str]) -> dict[str, Any]:
    """What a workflow needs to know: jobs for each system, and whether to run the suite over all."""
    return {
        "packages": sorted(touched_names - {E2E}),
        "e2e": E2E in touched_names,
        **{system: jobs_on(touched_names, system) for system in SYSTEMS},
    }


def main(arguments: list[str]) -> int:
    parser = command_line("matrix.py", __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    of = commands.add_parser("environments")
    of.add_argument("package")
    change = commands.add_parser("changed")
    change.add_argument("paths", nargs="*")
    change.add_argument("--since", help="a revision: what changed since it")
    change.add_argument("--github", action="store_true", help="one NAME=JSON a line, for GITHUB_OUTPUT")
    options = parser.parse_args(arguments)
    if options.command == "environments":
        print("\n".join(environments(*chosen([options.package]))))
    else:
        paths = [*options.paths, *(changed_since(options.since) if options.since else [])]
        found = plan(touched(paths))
        lines = [f"{name}={json.dumps(value)}" for name, value in found.items()]
        print("\n".join(lines) if options.github else json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
