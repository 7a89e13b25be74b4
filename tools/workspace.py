"""Where things are in this repository, and the virtual environments of the tools themselves."""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

TOP = Path(__file__).resolve().parent.parent
BUILD = TOP / ".build"
TOOLS = BUILD / "tools"
LOCK = TOP / "tools" / "requirements.txt"
SCRIPTS = "Scripts" if os.name == "nt" else "bin"


class DevError(Exception):
    """What the user has to know and to mend, in one line."""


class Parser(argparse.ArgumentParser):
    """One whose complaints are one line too."""

    def error(self, message: str) -> NoReturn:
        raise DevError(f"{self.prog}: {message}")


def command_line(name: str, description: str | None) -> Parser:
    return Parser(prog=name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def guarded(main: Callable[[list[str]], int], arguments: list[str]) -> int:
    """Run this; what the user has to mend is one line and status 2."""
    try:
        return main(arguments)
    except DevError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


@cache
def packages() -> tuple[str, ...]:
    """The names of the distributions, core first, since the others need it."""
    names = (path.parent.name for path in TOP.glob("packages/*/pyproject.toml"))
    return tuple(sorted(names, key=lambda name: (name != "obs-core", name)))


def chosen(names: list[str]) -> tuple[str, ...]:
    """These packages, or all where none is named: by name, by its end (`sqlite`), or by a folder (`.`)."""
    return tuple(_known(name) for name in names) or packages()


def _known(name: str) -> str:
    folder = Path(name).resolve()
    if folder.parent == TOP / "packages":
        name = folder.name
    for full in (name, f"obs-{name}", f"obs-storage-{name}"):
        if full in packages():
            return full
    raise DevError(f"no such package: {name}; there are {', '.join(packages())}")


def module(package: str) -> str:
    return package.replace("-", "_")


def project(package: str) -> dict[str, Any]:
    """The whole `pyproject.toml` of a package."""
    return tomllib.loads((TOP / "packages" / package / "pyproject.toml").read_text(encoding="utf-8"))


def requirements(package: str) -> list[str]:
    """All that a package names: to run, in an extra, or for its tests."""
    data = project(package)
    groups = [
        data["project"].get("dependencies", []),
        *data["project"].get("optional-dependencies", {}).values(),
        *data.get("dependency-groups", {}).values(),
    ]
    return [line for group in groups for line in group if isinstance(line, str)]


def siblings(package: str) -> set[str]:
    """The distributions of ours that a package names."""
    return {requirement_name(line) for line in requirements(package)} & set(packages()) - {package}


def needs(package: str) -> set[str]:
    """A package, and those of ours that it names and that they name in turn."""
    found = {package}
    while more := {sibling for name in found for sibling in siblings(name)} - found:
        found |= more
    return found


def requirement_name(line: str) -> str:
    """The normalised name in a requirement such as `Obs_Core[testing]>=0.1`."""
    found = re.match(r"[A-Za-z0-9._-]+", line)
    return re.sub(r"[-_.]+", "-", found.group()).lower() if found else ""


def tool(name: str) -> str:
    """The path of a command of the tools."""
    return str(TOOLS / SCRIPTS / name)


def python_of(environment: Path) -> Path:
    return environment / SCRIPTS / ("python.exe" if os.name == "nt" else "python")


def run(
    *command: str, quiet: bool = False, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> int:
    """Run a command (at the top of the repository); its output is shown, or only where it fails."""
    done = subprocess.run(
        command,
        cwd=cwd or TOP,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
        errors="replace",
        check=False,
    )
    if quiet and done.returncode:
        print(done.stdout, flush=True)
    return done.returncode


def git(*arguments: str) -> str | None:
    """What git answers of this repository; None where it fails, or is not installed."""
    # Whose the folder is says nothing here: a container's often is another user's.
    command = ("git", "-c", "safe.directory=*", *arguments)
    try:
        done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Only one process at a time is inside; where the system has no such locks, take care yourself."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / f"{name}.lock").open("w") as opened:
        if os.name == "posix":
            fcntl = import_module("fcntl")
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def make(environment: Path, state: str, *steps: tuple[str, ...]) -> bool:
    """Make an environment by these commands, once for each state; says whether it was made now."""
    stamp = environment / f"{state}.ready"
    with locked(environment.name):
        if stamp.exists():
            return False
        print(f"setting up {environment.relative_to(TOP)} (once) ...", flush=True)
        if environment.is_symlink():
            environment.unlink()
        shutil.rmtree(environment, ignore_errors=True)
        for step in steps:
            if run(*step, quiet=True):
                raise DevError(
                    f"{environment.relative_to(TOP)} could not be set up: see above; then try again"
                )
        stamp.touch()
    return True


@cache
def uv() -> str:
    """The path of uv, which makes all other environments; set up from the lock file where it is new."""
    lines = LOCK.read_text(encoding="utf-8")
    found = re.search(r"^uv==(?:.*\\\n)+.*\n", lines, re.MULTILINE)
    if found is None:
        raise DevError(f"{LOCK.relative_to(TOP)} does not name uv")
    environment, pinned = BUILD / "uv", BUILD / "uv.txt"
    state = digest(found.group(), sys.version)
    if not (environment / f"{state}.ready").exists():
        if find_spec("ensurepip") is None:
            raise DevError("this Python cannot make environments: install its venv (Debian: python3-venv)")
        BUILD.mkdir(exist_ok=True)
        pinned.write_text(found.group(), encoding="utf-8")
    make(
        environment,
        state,
        (sys.executable, "-m", "venv", str(environment)),
        (str(python_of(environment)), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(pinned)),
    )
    return str(environment / SCRIPTS / "uv")


def set_up() -> None:
    """Make the virtual environment of the tools, once for each state of their lock file."""
    state = digest(LOCK.read_text(encoding="utf-8"), sys.version)
    if (TOOLS / f"{state}.ready").exists():
        return
    command = uv()
    make(
        TOOLS,
        state,
        (command, "venv", "-q", "--python", sys.executable, str(TOOLS)),
        (
            *(command, "pip", "install", "-q", "--python", str(python_of(TOOLS))),
            *("--require-hashes", "-r", str(LOCK)),
        ),
    )
