"""Exact wheels: today's by content, the oldest from its tag."""

import shutil
import subprocess
import zipfile

import floors
import pins
import pytest
import workspace
from workspace import DevError

pytestmark = pytest.mark.integration
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


def write(top, name, version, code, needs=""):
    module = name.replace("-", "_")
    folder = top / "packages" / name
    (folder / "src" / module).mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(
        PYPROJECT.format(name=name, version=version, module=module, needs=needs)
    )
    (folder / "src" / module / "__init__.py").write_text(code)


@pytest.fixture
def top(tmp_path, monkeypatch):
    """A repository with a core of two versions, the older one tagged, and a storage that claims both."""
    uv = workspace.uv()

    def git(*arguments):
        subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments], cwd=tmp_path, check=True
        )

    for module in (workspace, pins, floors):
        monkeypatch.setattr(module, "TOP", tmp_path)
    monkeypatch.setattr(floors, "RECORD", tmp_path / "floors.toml")
    monkeypatch.setattr(pins, "BUILD", tmp_path / "build")
    monkeypatch.setattr(pins, "uv", lambda: uv)
    write(tmp_path, "obs-core", "0.1.0", "AGE = 'old'\n")
    write(tmp_path, "obs-store", "0.1.0", "", '"obs-core>=0.1,<0.2"')
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    workspace.packages.cache_clear()
    pins.wheel.cache_clear()
    pins.oldest.cache_clear()
    yield tmp_path, git
    workspace.packages.cache_clear()
    pins.wheel.cache_clear()
    pins.oldest.cache_clear()


def code_of(wheel):
    with zipfile.ZipFile(wheel) as opened:
        return opened.read("obs_core/__init__.py").decode()


def advance(top):
    write(top, "obs-core", "0.1.1", "AGE = 'new'\n")


def test_the_oldest_that_a_range_claims_is_built_from_its_tag(top):
    folder, git = top
    git("tag", "obs-core-v0.1.0")
    advance(folder)
    assert "'old'" in code_of(pins.oldest_pins("obs-store")["obs-core"])
    assert "'new'" in code_of(pins.newest_pins()["obs-core"])


def test_without_a_tag_it_is_built_from_the_recorded_commit(top):
    folder, _ = top
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True
    )
    floors.record("obs-core", "0.1.0", done.stdout.strip())
    advance(folder)
    assert "'old'" in code_of(pins.oldest_pins("obs-store")["obs-core"])


def test_before_the_first_release_it_is_what_is_here(top):
    assert pins.oldest_pins("obs-store")["obs-core"] == pins.newest_pins()["obs-core"]


def test_a_floor_that_is_nowhere_is_an_error_that_says_how_to_get_it(top):
    advance(top[0])
    with pytest.raises(DevError, match="git fetch --tags"):
        pins.oldest_pins("obs-store")


def test_a_wheel_is_built_again_when_its_content_changes_though_its_version_does_not(top):
    folder, _ = top
    before = pins.wheel("obs-core")
    write(folder, "obs-core", "0.1.0", "AGE = 'changed'\n")
    pins.wheel.cache_clear()
    after = pins.wheel("obs-core")
    assert before != after
    assert "'changed'" in code_of(after)
    assert before.name == after.name


def test_the_name_of_a_content_does_not_depend_on_where_it_lies(top):
    folder, _ = top
    shutil.copytree(folder / "packages" / "obs-core", folder / "copy")
    assert pins.content(folder / "copy") == pins.content(folder / "packages" / "obs-core")


@pytest.mark.parametrize("needs", ['"obs-core==0.1.0"', '"obs-core>=0.1"', '"obs-core"'])
def test_a_sibling_that_is_not_named_as_a_range_is_an_error(top, needs):
    write(top[0], "obs-store", "0.1.0", "", needs)
    with pytest.raises(DevError, match="as a range"):
        floors.claimed("obs-store")


@pytest.mark.usefixtures("top")
def test_0_1_and_0_1_0_are_the_same_version():
    assert floors.padded("0.1") == floors.padded("0.1.0") == "0.1.0"
