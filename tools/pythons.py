"""The Pythons of this machine, and every environment of the matrix that they can run."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import matrix
import pins
from suites import CORES, REPORTS, closing_line, package_task, perform
from workspace import chosen, command_line, set_up, uv

ASK = "import sys, sysconfig; print(sys.version_info[:2], bool(sysconfig.get_config_var('Py_GIL_DISABLED')))"


def candidates(factor: str) -> Iterator[Path]:
    """Where such a Python may be: on the path, from pyenv, from uv."""
    number = re.sub(r"py(\d)(\d+)", r"\1.\2", factor)
    found = shutil.which(f"python{number}")
    if found:
        yield Path(found)
    yield from sorted(
        Path.home().glob(f".pyenv/versions/{number}.*/bin/python{number.rstrip('t')}"), reverse=True
    )
    wanted = number.replace("t", "+freethreaded")
    command = [uv(), "python", "find", "--no-python-downloads", "--managed-python", wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        yield Path(done.stdout.strip())


def is_one(path: Path, factor: str) -> bool:
    """Whether this is such a Python, and runs: a shim of pyenv may not."""
    done = subprocess.run([str(path), "-c", ASK], capture_output=True, text=True, check=False)
    number = factor[2:].rstrip("t")
    return done.stdout.strip() == f"({number[0]}, {number[1:]}) {factor.endswith('t')}"


def found() -> dict[str, Path]:
    """The first of each kind that runs."""
    first = {
        factor: next((path for path in candidates(factor) if is_one(path, factor)), None)
        for factor in matrix.supported()
    }
    return {factor: path for factor, path in first.items() if path}


def main(arguments: list[str]) -> int:
    """Run every environment of these packages (all where none is named) that a Python is here for."""
    parser = command_line("dev.py matrix", main.__doc__)
    parser.add_argument("packages", nargs="*", metavar="PACKAGE")
    parser.add_argument("-e", "--environment", action="append", default=[], help="only with these factors")
    options = parser.parse_args(arguments)
    mine, wanted = chosen(options.packages), [set(name.split("-")) for name in options.environment]
    set_up()
    REPORTS.mkdir(parents=True, exist_ok=True)
    here = found()
    print(f"Pythons: {', '.join(f'{name} ({path})' for name, path in here.items())}", flush=True)
    missing = [name for name in matrix.supported() if name not in here]
    if missing:
        print(f"not on this machine, left to CI: {', '.join(missing)}", flush=True)
    pins.newest_pins()
    tasks = [
        package_task(package, name, python=here[name.split("-")[0]])
        for package in mine
        for name in matrix.environments(package)
        if name.split("-")[0] in here
        and (not wanted or any(factors <= set(name.split("-")) for factors in wanted))
    ]
    failures = perform(tasks, min(CORES, 2))
    return closing_line(tasks, failures)
