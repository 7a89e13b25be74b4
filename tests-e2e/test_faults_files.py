"""Strange files where a storage is to open, and what happens to the files of a service that runs."""

import pytest

from faults.running import (
    files_of_a_service,
    lock_holder_stands_still,
    real_disk_full,
    starts_in_any_case,
    starts_on_a_read_only_disk,
)
from faults.strange import CASES, name_of
from harness import TOP

pytestmark = pytest.mark.e2e
RULES = TOP / "packages" / "obs-storage-sqlite" / "docs" / "faults.md"


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_strange_file_is_met_by_its_rule_which_is_stated(tmp_path, case):
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder.name.startswith(("test_", "pytest-")):
            folder.chmod(0o755)
    print(case(tmp_path / "obs.db"))
    assert f"`{name_of(case)}`" in RULES.read_text(encoding="utf-8")


def test_a_service_goes_on_whatever_happens_to_its_files(tmp_path):
    print(files_of_a_service(tmp_path, 1))


def test_a_service_starts_whatever_stands_where_its_file_should_be(tmp_path):
    print(starts_in_any_case(tmp_path, 0.5))


def test_a_process_that_stands_still_in_a_commit_holds_up_nobodys_requests(tmp_path):
    print(lock_holder_stands_still(tmp_path, 1.5))


def test_a_real_disk_that_is_full_costs_old_entries_and_no_request(tmp_path):
    print(real_disk_full(tmp_path, 2.0))


def test_a_service_starts_on_a_disk_that_may_only_be_read_and_writes_when_it_may(tmp_path):
    print(starts_on_a_read_only_disk(tmp_path, 1.0))
