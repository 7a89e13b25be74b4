"""Exact wheels: today's by content, the oldest from its tag."""

import shutil
import subprocess
import sys
import zipfile

import floors
import pins
import pytest
import workspace
from workspace import DevError

pytestmark = pytest.mark.integration


def code_of(wheel):
    with zipfile.ZipFile(wheel) as opened:
        return opened.read("obs_core/__init__.py").decode()


def advance(repository):
    repository.write("obs-core", "0.1.1", "AGE = 'new'\n")


def test_the_oldest_that_a_range_claims_is_built_from_its_tag(repository):
    repository.git("tag", "obs-core-v0.1.0")
    advance(repository)
    assert "'old'" in code_of(pins.oldest_pins("obs-store")["obs-core"])
    assert "'new'" in code_of(pins.newest_pins()["obs-core"])


def test_without_a_tag_it_is_built_from_the_recorded_commit(repository):
    floors.record("obs-core", "0.1.0", repository.git("rev-parse", "HEAD"))
    advance(repository)
    assert "'old'" in code_of(pins.oldest_pins("obs-store")["obs-core"])


def test_before_the_first_release_it_is_what_is_here(repository):
    assert pins.oldest_pins("obs-store")["obs-core"] == pins.newest_pins()["obs-core"]


def test_a_floor_that_is_nowhere_is_an_error_that_says_how_to_get_it(repository):
    advance(repository)
    with pytest.raises(DevError, match="git fetch --tags"):
        pins.oldest_pins("obs-store")


def test_a_wheel_is_built_again_when_its_content_changes_though_its_version_does_not(repository):
    before = pins.wheel("obs-core")
    repository.write("obs-core", "0.1.0", "AGE = 'changed'\n")
    pins.wheel.cache_clear()
    after = pins.wheel("obs-core")
    assert before != after
    assert "'changed'" in code_of(after)
    assert before.name == after.name


def test_the_name_of_a_content_does_not_depend_on_where_it_lies(repository):
    folder = repository.folder
    shutil.copytree(folder / "packages" / "obs-core", folder / "copy")
    assert pins.content(folder / "copy") == pins.content(folder / "packages" / "obs-core")


@pytest.mark.parametrize("needs", ['"obs-core==0.1.0"', '"obs-core>=0.1"', '"obs-core"'])
def test_a_sibling_that_is_not_named_as_a_range_is_an_error(repository, needs):
    repository.write("obs-store", "0.1.0", "", needs)
    with pytest.raises(DevError, match="as a range"):
        floors.claimed("obs-store")


def test_0_1_and_0_1_0_are_the_same_version():
    assert floors.padded("0.1") == floors.padded("0.1.0") == "0.1.0"


def test_two_that_set_up_the_same_environment_at_once_make_it_once(tmp_path):
    code = (
        "import sys, pathlib; sys.path.insert(0, 'tools'); import workspace; "
        "workspace.TOP = workspace.BUILD = pathlib.Path(sys.argv[1]); "
        "folder = workspace.BUILD / 'made'; "
        "script = f'import pathlib, time; p = pathlib.Path({str(folder)!r}); p.mkdir(); time.sleep(0.3)'; "
        "print(workspace.make(folder, 'x', (sys.executable, '-c', script)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    both = [subprocess.Popen(command, cwd=workspace.TOP, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(each.communicate(timeout=60)[0].splitlines()[-1] for each in both)
    assert said == ["False", "True"]
