"""The closing line and the exit status of `dev.py test` are honest."""

import pytest
import suites
from suites import Count, Task

pytestmark = pytest.mark.unit
REPORT = '<testsuites><testsuite tests="{}" failures="{}" errors="{}" skipped="{}"/></testsuites>'


@pytest.fixture(autouse=True)
def laptop(monkeypatch):
    monkeypatch.delenv("CI", raising=False)


@pytest.fixture
def task(tmp_path):
    """A task with a report of these numbers: tests, failures, errors, skipped."""

    def make(name, *numbers, failed=0):
        report = tmp_path / f"{name}.xml"
        if numbers:
            report.write_text(REPORT.format(*numbers))
        return Task(name, lambda: failed, report)

    return make


def test_reports_are_added_up(task):
    tasks = [task("a", 10, 1, 1, 2), task("b", 5, 0, 0, 0), task("none")]
    assert suites.count([each.report for each in tasks]) == Count(11, 2, 2)


def test_success_is_status_0_and_the_agreed_line(task, capsys):
    assert suites.closing_line([task("a", 10, 0, 0, 0), Task("check", lambda: 0)], 0) == 0
    assert capsys.readouterr().out == "10 passed, 0 failed, 0 skipped\n"


def test_a_failed_test_is_status_1(task, capsys):
    assert suites.closing_line([task("a", 10, 1, 0, 0)], 1) == 1
    assert capsys.readouterr().out == "9 passed, 1 failed, 0 skipped\n"


def test_a_run_that_fails_without_a_failed_test_counts_as_one(task, capsys):
    assert suites.closing_line([task("a", 10, 0, 0, 0), task("broken")], 1) == 1
    assert capsys.readouterr().out == "10 passed, 1 failed, 0 skipped\n"


def test_no_tests_at_all_is_no_success(task):
    assert suites.closing_line([task("none")], 0) == 1


def test_a_package_may_have_no_test_of_one_mark(task):
    assert suites.closing_line([task("none")], 0, may_be_none=True) == 0
    assert suites.closing_line([task("broken")], 1, may_be_none=True) == 1


def test_what_is_skipped_is_a_failure_in_ci_alone(task, monkeypatch):
    tasks = [task("a", 10, 0, 0, 3)]
    assert suites.closing_line(tasks, 0) == 0
    monkeypatch.setenv("CI", "true")
    assert suites.closing_line(tasks, 0) == 1


def test_every_task_is_performed_whatever_the_others_say(task, capsys):
    tasks = [task("first", failed=1), task("second"), task("third", failed=5)]
    assert suites.perform(tasks, 2) == 2
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[1]: line.split()[0] for line in lines} == {
        "first": "FAILED",
        "second": "ok",
        "third": "FAILED",
    }
