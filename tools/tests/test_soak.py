"""`dev.py soak`: what it prints where all held, and where something broke."""

import re
import subprocess
import sys

import pytest
import soak
from workspace import TOP

pytestmark = pytest.mark.integration
DEV = str(TOP / "tools" / "dev.py")
SCENARIOS = TOP / "tests-e2e" / "faults" / "soak.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, DEV, "soak", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_a_short_one_prints_its_figures_and_how_it_went():
    done = run("writers", "--minutes", "0.2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"eight writers and a reader, seconds: [\d.]+ +held \(\d+ s\)", done.stdout)
    assert re.search(r"largest journal +\d+\.\d MB", done.stdout)
    assert "1 scenarios, 0 broken" in done.stdout


def test_its_names_are_those_of_the_scenarios():
    text = SCENARIOS.read_text(encoding="utf-8").partition("SCENARIOS: dict")[2].partition("\n}\n")[0]
    assert tuple(re.findall(r'^    "(\w+)": \(', text, re.MULTILINE)) == soak.NAMES
