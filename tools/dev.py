#!/usr/bin/env python3
"""The one command of this repository; it needs nothing but Python 3.11 or newer.

python3 tools/dev.py test [PACKAGE ...]   every test, on built wheels, newest and lowest dependencies
python3 tools/dev.py check                lint, format, types, import contracts
python3 tools/dev.py bench [PACKAGE ...]  our figures beside the peers'
python3 tools/dev.py ANYTHING ELSE        is passed on to hatch
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  # an old Python gets one clear line
    sys.stderr.write("obs needs Python 3.11 or newer; this is " + sys.version.split()[0] + "\n")
    sys.exit(2)

import hashlib
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

TOP = Path(__file__).resolve().parent.parent
BUILD = TOP / ".build"
TOOLS = BUILD / "tools"
ENVIRONMENTS = ("newest", "lowest")
CORES = os.cpu_count() or 2


def packages() -> list[str]:
    """The names of the distributions, core first, since the others need it."""
    return sorted(
        (path.parent.name for path in TOP.glob("packages/*/pyproject.toml")),
        key=lambda name: (name != "obs-core", name),
    )


def tool(name: str) -> str:
    return str(TOOLS / ("Scripts" if os.name == "nt" else "bin") / name)


def run(*command: str, quiet: bool = False, **environment: str) -> int:
    """Run a command at the top of the repository; its output is shown, or only where it fails."""
    done = subprocess.run(
        command,
        cwd=TOP,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
        check=False,
    )
    if quiet and done.returncode:
        print(done.stdout, flush=True)
    return done.returncode


def set_up() -> None:
    """Make the virtual environment of the tools, once for each state of their lock file."""
    lock = TOP / "tools" / "requirements.txt"
    stamp = TOOLS / f"{hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]}.ready"
    if stamp.exists():
        return
    print("setting up the tools (once) ...", flush=True)
    shutil.rmtree(TOOLS, ignore_errors=True)
    failed = run(sys.executable, "-m", "venv", str(TOOLS), quiet=True) or run(
        tool("python"), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(lock), quiet=True
    )
    if failed:
        sys.exit("the tools could not be installed: see above; then run the command again")
    stamp.touch()


def content(package: str) -> str:
    """A short name for the present content of a package, so that a stale wheel is never served."""
    digest = hashlib.sha256()
    root = TOP / "packages" / package
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def wheel(package: str) -> Path:
    """The built wheel of a package, built where its content is new."""
    folder = BUILD / "wheels" / f"{package}-{content(package)}"
    if not list(folder.glob("*.whl")):
        source = str(TOP / "packages" / package)
        if run(tool("uv"), "build", "-q", "--wheel", "--python", sys.executable, "-o", str(folder), source):
            sys.exit(f"the wheel of {package} could not be built")
    return next(folder.glob("*.whl"))


def constraints(wheels: dict[str, Path]) -> Path:
    """A file that pins every sibling to its wheel of today."""
    text = "".join(f"{name} @ {path.as_uri()}\n" for name, path in wheels.items())
    path = BUILD / f"constraints-{hashlib.sha256(text.encode()).hexdigest()[:12]}.txt"
    path.write_text(text)
    return path


def test(names: list[str]) -> int:
    """Run the tests of these packages (all where none is named) and add up what came of them."""
    chosen = names or packages()
    unknown = [name for name in chosen if name not in packages()]
    if unknown:
        sys.exit(f"no such package: {', '.join(unknown)}; there are {', '.join(packages())}")
    wheels = {name: wheel(name) for name in packages()}
    pins = constraints(wheels)
    results = BUILD / "tox"

    def one(task: tuple[str, str]) -> int:
        package, environment = task
        (results / package / environment / "junit.xml").unlink(missing_ok=True)
        command = [
            tool("tox"),
            "run",
            "-q",
            "-c",
            "tools/tox.toml",
            "--root",
            f"packages/{package}",
            "-e",
            environment,
        ]
        where = ["--workdir", str(results / package), "--installpkg", str(wheels[package])]
        failed = run(
            *command,
            *where,
            quiet=True,
            UV_CONSTRAINT=str(pins),
            OBS_PYTHON=sys.executable,
            OBS_MODULE=package.replace("-", "_"),
        )
        print(f"{'FAILED' if failed else 'ok':7} {package} {environment}", flush=True)
        return failed

    tasks = [(package, environment) for package in chosen for environment in ENVIRONMENTS]
    with ThreadPoolExecutor(min(CORES, 2)) as pool:
        failures = sum(map(bool, pool.map(one, tasks)))
    return summary(
        [results / package / environment / "junit.xml" for package, environment in tasks], failures
    )


def summary(reports: list[Path], failures: int) -> int:
    """Print the closing line; a run that failed without a failed test (an error, coverage) counts as one."""
    tests = failed = skipped = 0
    for report in reports:
        if report.exists():
            for suite in ElementTree.parse(report).getroot().iter("testsuite"):  # noqa: S314  # our own file
                tests += int(suite.get("tests", 0))
                failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
                skipped += int(suite.get("skipped", 0))
    failed = max(failed, failures)
    print(f"{max(tests - failed - skipped, 0)} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not tests or (skipped and os.environ.get("CI")) else 0


def check() -> int:
    """Lint, format, types and import contracts, as CI does; every one is run, whatever the others say."""
    environment = BUILD / "check"
    wheels = {name: wheel(name) for name in packages()}
    pins = constraints(wheels)
    if not (environment / pins.name).exists():
        python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
        extras = [
            f"{name}[testing] @ {path.as_uri()}" if name == "obs-core" else str(path)
            for name, path in wheels.items()
        ]
        if run(tool("uv"), "venv", "-q", "--clear", "--python", sys.executable, str(environment)) or run(
            tool("uv"), "pip", "install", "-q", "--python", str(python), *extras, UV_CONSTRAINT=str(pins)
        ):
            return 1
        (environment / pins.name).touch()
    sources = [str(path) for path in sorted(TOP.glob("packages/*/src"))]
    modules = [module for name in packages() for module in ("-p", name.replace("-", "_"))]
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    return max(
        run(tool("ruff"), "check", "-q", "--config", "tools/ruff.toml", "."),
        run(tool("ruff"), "format", "-q", "--check", "--config", "tools/ruff.toml", "."),
        run(
            *(tool("mypy"), "--config-file", "tools/mypy.ini", "--python-executable", str(python), *modules),
            MYPYPATH=os.pathsep.join(sources),
        ),
        run(
            tool("lint-imports"), "--no-cache", "tools/importlinter.toml", PYTHONPATH=os.pathsep.join(sources)
        ),
    )


def bench(names: list[str]) -> int:
    """Run the benchmarks of these packages (all where none is named), each in an environment with its peers."""
    chosen = names or packages()
    scripts = [path for name in chosen for path in sorted(TOP.glob(f"packages/{name}/benchmarks/*.py"))]
    wheels = {name: wheel(name) for name in packages()}
    pins = constraints(wheels)
    return max(
        (
            run(
                *(tool("uv"), "run", "-q", "--isolated", "--no-project", "--python", sys.executable),
                *(part for path in wheels.values() for part in ("--with", str(path))),
                *("--script", str(script)),
                UV_CONSTRAINT=str(pins),
            )
            for script in scripts
        ),
        default=0,
    )


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    set_up()
    command, rest = arguments[0], arguments[1:]
    if command == "test":
        return test(rest)
    if command == "bench":
        return bench(rest)
    if command == "check":
        return check()
    return run(tool("hatch"), *arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
