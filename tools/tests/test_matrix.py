"""What a change needs, and which environments a package has."""

import json
import subprocess
import sys

import matrix
import pytest
import pythons
from workspace import TOP, packages

pytestmark = pytest.mark.unit
E2E = {"e2e"}


def test_a_change_in_the_core_touches_everything():
    assert matrix.touched(["packages/obs-core/src/obs_core/_records.py"]) == {*packages(), "e2e"}


def test_a_change_in_the_django_adapter_touches_itself_and_the_end_to_end_suite():
    assert matrix.touched(["packages/obs-django/src/obs_django/__init__.py"]) == {"obs-django"} | E2E


def test_a_change_in_the_asgi_adapter_touches_what_builds_on_it():
    assert matrix.touched(["packages/obs-asgi/src/obs_asgi/_app.py"]) == {"obs-asgi", "obs-fastapi"} | E2E


def test_an_example_touches_the_end_to_end_suite_alone():
    assert matrix.touched(["examples/script_example.py", "tests-e2e/conftest.py"]) == E2E


def test_the_tools_touch_everything():
    assert matrix.touched(["tools/tox.toml"]) == {*packages(), "e2e"}


def test_a_page_at_the_top_touches_nothing():
    assert matrix.touched([".github/CONTRIBUTING.md", "LICENSE"]) == set()


def test_an_unknown_folder_touches_everything():
    assert matrix.touched(["packages/obs-new/pyproject.toml"]) == {*packages(), "e2e"}


def test_each_package_has_each_python_with_both_kinds_of_dependencies():
    for package in packages():
        names = matrix.environments(package)
        for python in ("py311", "py312", "py313", "py314", "py314t"):
            assert {f"{python}-newest", f"{python}-lowest"} <= set(names)


def test_the_lines_of_a_framework_belong_to_who_needs_it():
    of = {package: " ".join(matrix.environments(package)) for package in packages()}
    assert "fastapi0115" in of["obs-fastapi"]
    assert "django52" in of["obs-django"]
    assert all("fastapi" not in names for package, names in of.items() if package != "obs-fastapi")
    assert all("django" not in names for package, names in of.items() if package != "obs-django")


def test_newer_django_is_not_asked_of_a_python_that_it_does_not_support():
    assert not [
        name for name in matrix.environments("obs-django") if name.startswith("py311") and "django6" in name
    ]


def test_ci_gets_json_with_a_job_for_each_environment():
    done = subprocess.run(
        [sys.executable, "tools/matrix.py", "changed", "packages/obs-django/README.md"],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=True,
    )
    jobs = json.loads(done.stdout)
    assert jobs["packages"] == ["obs-django"]
    assert jobs["e2e"] is True
    assert {job["package"] for job in jobs["include"]} == {"obs-django"}
    assert {"3.11", "3.14", "3.14t"} <= {job["python"] for job in jobs["include"]}


def test_the_python_that_runs_this_is_found():
    here = f"py3{sys.version_info.minor}"
    assert here in pythons.found()
