"""Many writers, a storage that hangs, bad things from strangers. `dev.py soak` has the long form of each."""

import pytest

from faults.fuzz import strangers
from faults.hanging import hanging, reading_hangs
from faults.writers import writers

pytestmark = pytest.mark.e2e


def test_eight_processes_write_beside_a_reader_and_none_fails(tmp_path):
    print(writers(tmp_path, 3.0, quick=False))


def test_a_storage_that_hangs_holds_up_neither_requests_nor_metrics(tmp_path):
    print(hanging(tmp_path, 1, quick=False))


def test_a_service_ends_though_reads_hang_for_ever(tmp_path):
    print(reading_hangs(tmp_path))


def test_whatever_strangers_send_nothing_is_forged_or_broken(tmp_path):
    print(strangers(tmp_path, 1000))
