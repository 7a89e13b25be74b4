"""The one command: what it says of a wrong use, and to a Python that is too old."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from workspace import TOP

pytestmark = pytest.mark.integration
DEV = TOP / "tools" / "dev.py"
AS_OLD = "import sys, runpy; sys.version_info = (3, 10, 13); runpy.run_path({!r}, run_name='__main__')"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def is_one_line(text: str) -> bool:
    return text.count("\n") == 1 and text.endswith("\n") and "Traceback" not in text


def test_a_python_that_is_too_old_gets_one_line_and_status_2():
    done = run(sys.executable, "-c", AS_OLD.format(str(DEV)))
    assert done.returncode == 2
    assert is_one_line(done.stderr)
    assert "3.11" in done.stderr


def test_the_command_is_understood_by_pythons_that_are_too_old():
    tree = ast.parse(DEV.read_text(encoding="utf-8"), feature_version=(3, 4))
    modern = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Match)
    assert not [node for node in ast.walk(tree) if isinstance(node, modern)]


def test_real_old_pythons_of_this_machine_say_the_same():
    old = [
        path
        for name in ("2.7", "3.6", "3.7", "3.8", "3.9", "3.10")
        for path in Path.home().glob(f".pyenv/versions/{name}.*/bin/python")
    ]
    for python in old:
        done = run(str(python), str(DEV), "demo")
        assert done.returncode == 2, python
        assert is_one_line(done.stderr), python


def test_without_a_command_it_says_what_there_is():
    done = run(sys.executable, str(DEV))
    assert done.returncode == 2
    assert all(
        f"\n{name} " in done.stdout for name in ("demo", "test", "check", "bench", "replay", "soak", "matrix")
    )


@pytest.mark.parametrize(
    "command", ["test", "check", "build", "audit", "bench", "replay", "soak", "matrix", "demo"]
)
def test_who_asks_a_command_for_help_gets_that_and_nothing_else(command):
    done = run(sys.executable, str(DEV), command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert command in done.stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["test", "obs-nothing"], "obs-nothing"),
        (["check", "spelling"], "spelling"),
        (["demo", "--port", "70000"], "70000"),
        (["demo", "--port", "x"], "'x'"),
        (["demo", "--workers", "0"], "'0'"),
        (["demo", "--data", f"{DEV}/below"], f"{DEV}/below"),
        (["demo", "--host", "203.0.113.1"], "203.0.113.1"),
        (["replay", "/nowhere/at/all"], "/nowhere/at/all"),
        (["soak", "earthquakes"], "earthquakes"),
        (["soak", "--minutes", "0"], "--minutes 0"),
    ],
)
def test_what_cannot_be_done_is_one_line_that_names_it(arguments, named):
    done = run(sys.executable, str(DEV), *arguments)
    assert done.returncode == 2
    assert is_one_line(done.stderr)
    assert named in done.stderr
