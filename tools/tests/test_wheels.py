"""Each package alone: what its wheel needs, holds and costs."""

import json
import statistics
import subprocess
import sys
import zipfile

import composed
import pins
import pytest
import release
from workspace import TOP, module, packages, project, requirement_name, requirements, run, uv

pytestmark = pytest.mark.integration
# What each may name, beside the core.
LISTED = {
    "obs-core": {"msgspec"},
    "obs-storage-ring": {"obs-core"},
    "obs-storage-sqlite": {"obs-core", "aiosqlite", "backports-zstd"},
    "obs-runtime": {"obs-core"},
    "obs-asgi": {"obs-core", "asgiref"},
    "obs-fastapi": {"obs-core", "obs-asgi", "fastapi"},
    "obs-django": {"obs-core", "django", "asgiref"},
}
ROUNDS = 15
MOST_MILLISECONDS = 30
LOADED = "import sys, json, {}; print(json.dumps(sorted(sys.modules)))"
COST = "import time; a = time.process_time(); import {}; print(time.process_time() - a)"


def needed(package):
    return {requirement_name(line) for line in project(package)["project"]["dependencies"]}


def ours_needed(package):
    """The siblings that installing a package brings."""
    found = {package}
    while more := {name for each in found for name in needed(each) if name in packages()} - found:
        found |= more
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The Python of an environment that holds one package and what it needs, made once for each."""
    made = {}

    def make(package):
        if package not in made:
            folder = tmp_path_factory.mktemp(package) / "alone"
            python = folder / "bin" / "python"
            constraints = pins.constraints(pins.newest_pins())
            assert run(uv(), "venv", "-q", "--python", sys.executable, str(folder)) == 0
            compiled = ["--compile-bytecode"] if package == "obs-core" else []  # its cost is measured
            command = (uv(), "pip", "install", "-q", *compiled, "--python", str(python))
            assert run(*command, "--constraint", str(constraints), str(pins.wheel(package))) == 0
            made[package] = str(python)
        return made[package]

    return make


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_every_package_of_the_design_is_here():
    assert set(packages()) == set(LISTED)


@pytest.mark.parametrize("package", LISTED)
def test_a_package_needs_what_the_design_lists_and_no_more(package):
    assert needed(package) <= LISTED[package]
    assert package == "obs-core" or "obs-core" in needed(package)


@pytest.mark.parametrize("package", LISTED)
def test_a_sibling_is_named_as_a_range(package):
    for line in requirements(package):
        if requirement_name(line) in packages():
            assert ">=0.1,<0.2" in line


@pytest.mark.parametrize("package", LISTED)
def test_a_package_installs_alone_and_is_imported(package, alone):
    python = alone(package)
    listed = json.loads(output(uv(), "pip", "list", "--format", "json", "--python", python))
    installed = {requirement_name(each["name"]): each["version"] for each in listed}
    assert {name for name in installed if name in packages()} == ours_needed(package)
    code = f"import {module(package)} as it; assert it.__all__ is not None; print(it.__version__)"
    assert output(python, "-W", "error", "-c", code) == "0.1.0\n"


@pytest.mark.parametrize("package", LISTED)
def test_a_wheel_holds_types_licence_and_readme_and_says_who_it_is(package):
    release.check_files(pins.wheel(package), package, "0.1.0")
    with zipfile.ZipFile(pins.wheel(package)) as opened:
        roots = {name.split("/")[0] for name in opened.namelist()}
    assert roots == {module(package), f"{module(package)}-0.1.0.dist-info"}


@pytest.mark.parametrize("package", LISTED)
def test_a_package_has_its_own_pages(package):
    for name in ("README.md", "CHANGELOG.md", "LICENSE", f"src/{module(package)}/py.typed"):
        assert (TOP / "packages" / package / name).is_file()
    assert "## 0.1.0" in (TOP / "packages" / package / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_core_imports_neither_asyncio_nor_a_framework(alone):
    loaded = set(json.loads(output(alone("obs-core"), "-c", LOADED.format("obs_core"))))
    assert "obs_core" in loaded
    assert not loaded & {"asyncio", "fastapi", "starlette", "django", "asgiref", "aiosqlite", "sqlite3"}


def test_the_core_costs_little_more_than_msgspec_to_import(alone):
    python = alone("obs-core")
    costs = {"msgspec": [], "obs_core": []}
    for _ in range(ROUNDS):
        for name, found in costs.items():
            found.append(float(output(python, "-c", COST.format(name))))
    more = statistics.median(costs["obs_core"]) - statistics.median(costs["msgspec"])
    print(f"import obs_core: {more * 1000:.1f} ms over import msgspec")
    assert more * 1000 <= MOST_MILLISECONDS


def test_one_environment_holds_them_all():
    listed = json.loads(output(uv(), "pip", "list", "--format", "json", "--python", str(composed.python())))
    assert {each["name"] for each in listed} >= set(packages())
