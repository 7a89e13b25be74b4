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


def output(*arguments):
    command = [sys.executable, "tools/matrix.py", *arguments]
    return subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True).stdout


def test_ci_gets_json_with_a_job_for_each_environment_of_what_is_touched():
    plan = json.loads(output("changed", "packages/obs-django/README.md"))
    assert plan["packages"] == ["obs-django"]
    assert plan["e2e"] is True
    assert {job["package"] for job in plan["linux"]} == {"obs-django"}
    assert {job["python"] for job in plan["linux"]} == {"3.11", "3.12", "3.13", "3.14", "3.14t"}
    assert len(plan["macos"]) == len(plan["windows"]) == 1


def test_the_whole_matrix_fits_into_what_a_workflow_may_have():
    plan = matrix.plan({*packages(), "e2e"})
    assert {job["package"] for job in plan["linux"]} == set(packages())
    assert len(plan["linux"]) <= 256


def test_a_workflow_reads_one_value_a_line():
    lines = dict(line.split("=", 1) for line in output("changed", "--github", "LICENSE").splitlines())
    assert lines == {"packages": "[]", "e2e": "false", "linux": "[]", "macos": "[]", "windows": "[]"}


def test_a_revision_that_is_not_here_touches_everything():
    plan = json.loads(output("changed", "--since", "0" * 40))
    assert set(plan["packages"]) == set(packages())


def test_what_changed_since_now_is_nothing_that_was_committed():
    assert not set(matrix.changed_since("HEAD")) - set(matrix.changed_since("HEAD~1"))


def test_the_python_that_runs_this_is_found():
    here = f"py3{sys.version_info.minor}"
    assert here in pythons.found()
