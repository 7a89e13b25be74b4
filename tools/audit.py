"""Known weaknesses in the tools and in what the packages bring with them, as the package index knows them."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

import composed
from workspace import BUILD, LOCK, DevError, packages, python_of, requirement_name, set_up, tool, uv

DEADLINE = 300


def report(*arguments: str) -> list[Mapping[str, Any]]:
    """What pip-audit says of each distribution. Raises `DevError` where it could not ask."""
    command = [tool("pip-audit"), "--progress-spinner", "off", "--format", "json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    if not done.stdout.startswith("{"):
        raise DevError(f"pip-audit could not run: {(done.stderr.strip() or 'no answer').splitlines()[-1]}")
    return list(json.loads(done.stdout)["dependencies"])


def weaknesses(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each. Raises `DevError` where the index knew none of the distributions."""
    if found and all("skip_reason" in each for each in found):
        raise DevError("nothing could be audited: the package index of this machine knows of no weaknesses")
    return [
        f"{each['name']} {each['version']}: {weak['id']}, mended in {', '.join(weak['fix_versions']) or 'no release'}"
        for each in found
        for weak in each.get("vulns", ())
    ]


def installed() -> str:
    """What an environment with every package holds beside ours, as requirements."""
    command = [uv(), "pip", "freeze", "--python", str(python_of(composed.ENVIRONMENT))]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return "".join(f"{line}\n" for line in lines if requirement_name(line) not in packages())


def main(_: list[str]) -> int:
    """1 where something is known; 2 where nobody could be asked."""
    set_up()
    composed.python()
    brought = BUILD / "brought.txt"
    brought.write_text(installed(), encoding="utf-8")
    found = [
        *report("--disable-pip", "--require-hashes", "-r", str(LOCK)),
        *report("--disable-pip", "--no-deps", "-r", str(brought)),
    ]
    wrong = sorted(set(weaknesses(found)))
    print("\n".join(wrong) or f"{len(found)} distributions, no known weakness")
    return 1 if wrong else 0
