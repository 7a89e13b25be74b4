"""A disk that fails under a running service. `dev.py soak` has the long form of each."""

import pytest

from faults.outages import flood, outages

pytestmark = pytest.mark.e2e


def test_a_service_lives_through_every_outage_of_its_disk_and_loses_nothing(tmp_path):
    print(outages(tmp_path, 0.5))


def test_what_a_full_queue_drops_is_counted_and_errors_are_kept_longest(tmp_path):
    print(flood(tmp_path, 150_000))
