"""The workflows and hooks: what they may do, and that they run the commands of this repository."""

import re
import subprocess

import checks
import pytest
import yaml
from workspace import TOP, tool

pytestmark = pytest.mark.integration
WORKFLOWS = sorted((TOP / ".github").glob("**/*.yml"))
PINNED = re.compile(r"(?m)^\s*-? ?uses: (\S+)(.*)$")


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs(path):
    return read(path).get("jobs", {}).items()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_yaml_with_jobs_or_steps(path):
    document = read(path)
    assert document["name"]
    assert "jobs" in document or "runs" in document


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_whole_commit_with_the_version_beside_it(path):
    for name, rest in PINNED.findall(path.read_text(encoding="utf-8")):
        if not name.startswith("$/"):
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", name)
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", rest)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_has_only_the_rights_that_it_names(path):
    for name, job in jobs(path):
        assert read(path)["permissions"] == {}
        wanted = (
            {"id-token": "write"} if name == "publish" else ({} if name == "passed" else {"contents": "read"})
        )
        assert job["permissions"] == wanted
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_zizmor_finds_nothing_in_them():
    command = [tool("zizmor"), "--offline", "--no-progress", "--pedantic", ".github"]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ci_has_a_job_for_each_mark_and_system():
    assert {"unit", "integration", "e2e", "macos", "windows", "check"} <= dict(
        jobs(TOP / ".github/workflows/ci.yml")
    ).keys()


def test_the_hooks_run_the_steps_of_check_and_the_tests():
    hooks = read(TOP / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    entries = {hook["entry"] for hook in hooks}
    assert entries == {
        *(f"python3 tools/dev.py check {step}" for step in checks.STEPS),
        "python3 tools/dev.py test",
    }


def test_ci_run_is_the_test_command_of_the_readme():
    run = (TOP / ".ci" / "run").read_text(encoding="utf-8")
    assert "python3 tools/dev.py test" in run
    assert "python3 tools/dev.py test" in (TOP / "README.md").read_text(encoding="utf-8")
