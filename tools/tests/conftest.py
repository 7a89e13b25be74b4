"""A repository of its own, with two packages and a history, for the tools that read tags."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import checks
import floors
import pins
import pytest
import workspace

PYPROJECT = """
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"
[project]
name = "{name}"
version = "{version}"
dependencies = [{needs}]
[tool.hatch.build.targets.wheel]
packages = ["src/{module}"]
"""


class Repository(NamedTuple):
    """Where it is, and git in it."""

    folder: Path
    git: Callable[..., str]

    def write(self, name: str, version: str, code: str, needs: str = "") -> None:
        """Put a package there, or another version of it."""
        module = name.replace("-", "_")
        folder = self.folder / "packages" / name
        (folder / "src" / module).mkdir(parents=True, exist_ok=True)
        text = PYPROJECT.format(name=name, version=version, module=module, needs=needs)
        (folder / "pyproject.toml").write_text(text, encoding="utf-8")
        (folder / "src" / module / "__init__.py").write_text(code, encoding="utf-8")


def forget() -> None:
    for cached in (workspace.packages, pins.wheel, pins.oldest):
        cached.cache_clear()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A core of 0.1.0, committed but not tagged, and a store that claims it; the tools look there."""
    uv = workspace.uv()

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false")
        command = ["git", *who, *arguments]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout.strip()

    for module in (workspace, pins, floors, checks):
        monkeypatch.setattr(module, "TOP", tmp_path)
    monkeypatch.setattr(floors, "RECORD", tmp_path / "floors.toml")
    monkeypatch.setattr(pins, "BUILD", tmp_path / "build")
    monkeypatch.setattr(pins, "uv", lambda: uv)
    here = Repository(tmp_path, git)
    here.write("obs-core", "0.1.0", "AGE = 'old'\n")
    here.write("obs-store", "0.1.0", "", '"obs-core>=0.1,<0.2"')
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    forget()
    yield here
    forget()
