"""Every test: of each package on its built wheel, of the tools, and of all together on real servers."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import checks
import composed
import pins
import servers
from workspace import BUILD, TOOLS, TOP, chosen, command_line, module, python_of, run, set_up, tool

REPORTS = BUILD / "reports"
ENVIRONMENTS = ("newest", "lowest")
CORES = os.cpu_count() or 2
EVERYTHING = ("check", "tools", "e2e")
NOTHING_COLLECTED = 5


class Task(NamedTuple):
    """A run of tests: its name, what runs it (0 is success), and the report it leaves."""

    name: str
    run: Callable[[], int]
    report: Path | None = None


def pytest_options(report: Path, mark: str) -> list[str]:
    return ["-q", "-p", "no:cacheprovider", f"--junitxml={report}", *(["-m", mark] if mark else [])]


def package_task(package: str, environment: str, mark: str = "", python: Path | None = None) -> Task:
    """The tests of one package in one environment of the matrix; without a Python, with that of the tools."""
    report = REPORTS / f"{package}-{environment}.xml"
    lowest = "lowest" in environment.split("-")

    def begin() -> int:
        constraints = pins.constraints(pins.oldest_pins(package) if lowest else pins.newest_pins())
        report.unlink(missing_ok=True)
        failed = run(
            *(tool("tox"), "run", "-q", "-c", "tools/tox.toml", "--root", f"packages/{package}"),
            *("-e", environment, "--workdir", str(BUILD / "tox" / package)),
            *("--installpkg", str(pins.wheel(package)), "--", *pytest_options(report, mark), "tests"),
            quiet=True,
            env={
                "UV_CONSTRAINT": str(constraints),
                "UV_PYTHON_DOWNLOADS": "never",
                "OBS_MODULE": module(package),
                "OBS_COVERAGE_FLOOR": "0" if mark else "90",
                "PATH": os.pathsep.join([*([str(python.parent)] if python else []), os.environ["PATH"]]),
            },
        )
        return 0 if mark and failed and count([report]) == Count(0, 0, 0) else failed

    return Task(f"{package} {environment}", begin, report)


def wheel_task(package: str) -> Task:
    """What an index would refuse in a wheel, and what should not be in one."""

    def begin() -> int:
        path = str(pins.wheel(package))
        return max(
            run(tool("twine"), "check", "--strict", path, quiet=True),
            run(tool("check-wheel-contents"), path, quiet=True),
        )

    return Task(f"{package} wheel", begin)


def folder_task(
    name: str, folder: str, python: Callable[[], Path], mark: str, env: Mapping[str, str]
) -> Task:
    """The tests in a folder that is no package, run by this Python; where there is none, nothing fails."""
    report = REPORTS / f"{name}.xml"

    def begin() -> int:
        report.unlink(missing_ok=True)
        if not list((TOP / folder).glob("test_*.py")):
            return 0
        command = (str(python()), "-m", "pytest", "-c", "packages/pytest.toml", f"--rootdir={folder}")
        options = pytest_options(report, mark)
        failed = run(*command, *options, folder, quiet=True, env={"PYTHONDONTWRITEBYTECODE": "1", **env})
        return 0 if failed == NOTHING_COLLECTED else failed

    return Task(name, begin, report)


def tools_task(mark: str = "") -> Task:
    """The tests of the tools, run by the tools' own Python."""
    return folder_task(
        "tools", "tools/tests", lambda: python_of(TOOLS), mark, {"PYTHONPATH": str(TOP / "tools")}
    )


def e2e_task() -> Task:
    """The suite over all packages. It finds the servers on its path."""
    folder, missing = servers.get()
    if missing:
        print(missing, flush=True)
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    return folder_task("e2e", "tests-e2e", composed.python, "", {"PATH": path})


class Count(NamedTuple):
    passed: int
    failed: int
    skipped: int


def count(reports: Sequence[Path]) -> Count:
    """What the reports of pytest say, added up."""
    tests = failed = skipped = 0
    for report in reports:
        if report.exists():
            for suite in ElementTree.parse(report).getroot().iter("testsuite"):  # noqa: S314  # our own file
                tests += int(suite.get("tests", 0))
                failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
                skipped += int(suite.get("skipped", 0))
    return Count(max(tests - failed - skipped, 0), failed, skipped)


def perform(tasks: Sequence[Task], workers: int = 1) -> int:
    """Run these, say of each how it went and how long it took; how many failed."""

    def one(task: Task) -> bool:
        begun = time.monotonic()
        failed = bool(task.run())
        print(f"{'FAILED' if failed else 'ok':7} {task.name} ({time.monotonic() - begun:.0f} s)", flush=True)
        return failed

    with ThreadPoolExecutor(workers) as pool:
        return sum(pool.map(one, tasks))


def closing_line(tasks: Sequence[Task], failures: int, *, may_be_none: bool = False) -> int:
    """Print it; a task that failed without a failed test (an error, coverage) counts as one.

    That there was no test at all is a failure too, unless there `may_be_none`, as of one mark.
    """
    found = count([task.report for task in tasks if task.report])
    failed = max(found.failed, failures)
    print(f"{found.passed} passed, {failed} failed, {found.skipped} skipped")
    nothing = not found.passed and not may_be_none
    return 1 if failed or nothing or (found.skipped and os.environ.get("CI")) else 0


def main(arguments: list[str]) -> int:
    """Run what is named (packages, `check`, `tools`, `e2e`), or all of it."""
    parser = command_line("dev.py test", __doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"a package, or one of {', '.join(EVERYTHING)}"
    )
    parser.add_argument("-m", "--mark", default="", help="only tests with this mark: unit or integration")
    parser.add_argument(
        "-e", "--environment", action="append", help="environments of the matrix: newest, lowest, ..."
    )
    options = parser.parse_args(arguments)
    others = [name for name in options.names if name in EVERYTHING] or ([] if options.names else EVERYTHING)
    named = [name for name in options.names if name not in EVERYTHING]
    mine = chosen(named) if named or not options.names else ()
    set_up()
    REPORTS.mkdir(parents=True, exist_ok=True)
    first = [Task("check", lambda: checks.main([]))] if "check" in others else []
    failures = perform(first)
    pins.newest_pins()
    environments = options.environment or ENVIRONMENTS
    # The longest first, so that both workers end at about the same time.
    together = [
        *([e2e_task()] if "e2e" in others and not options.mark else []),
        *([tools_task(options.mark)] if "tools" in others else []),
        *(package_task(name, environment, options.mark) for name in mine for environment in environments),
        *(wheel_task(name) for name in mine),
    ]
    failures += perform(together, min(CORES, 2))
    return closing_line([*first, *together], failures, may_be_none=bool(options.mark))
