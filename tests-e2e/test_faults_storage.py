"""A storage that is killed, cut off and refused at every point of its work. `dev.py soak` has the long form of each."""

import pytest

from faults.figures import BrokenPromiseError
from faults.folding import folds
from faults.kills import kills
from faults.power import cuts, unsafe_cuts, upgrade_cuts
from faults.single import single_failures
from faults.upgrading import upgrades

pytestmark = pytest.mark.e2e


def test_kill_9_at_any_point_of_writing_merging_and_deleting_loses_nothing(tmp_path):
    print(kills(tmp_path, 30))


def test_kill_9_at_any_point_of_an_upgrade_loses_nothing(tmp_path):
    print(upgrades(tmp_path, 8))


def test_kill_9_at_any_point_of_counting_and_folding_leaves_totals_exact(tmp_path):
    print(folds(tmp_path, 16))


def test_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path):
    print(cuts(tmp_path, 15))


def test_a_power_cut_in_an_upgrade_loses_nothing(tmp_path):
    print(upgrade_cuts(tmp_path, 4))


def test_a_storage_that_does_not_sync_what_it_acknowledges_is_found_out(tmp_path):
    with pytest.raises(BrokenPromiseError, match="were acknowledged"):
        unsafe_cuts(tmp_path, 20)


def test_a_change_of_a_file_that_fails_once_loses_nothing(tmp_path):
    print(single_failures(tmp_path, 14))
