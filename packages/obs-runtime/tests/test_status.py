import os
from pathlib import Path

import pytest

from obs_core import LogHandler
from obs_runtime._status import Status

pytestmark = pytest.mark.unit


def open_files(status: Status, *, fresh: bool) -> float:
    [found] = [one for one in status.collect(fresh=fresh) if one.metadata.name == "process_open_fds"]
    return found.values[0]


def test_what_the_system_says_of_a_process_is_at_most_five_seconds_old_and_fresh_for_who_asks():
    now = [100.0]
    status = Status(LogHandler(), lambda: now[0], process_metrics=True)
    before = open_files(status, fresh=False)
    with Path(os.devnull).open():
        now[0] = 104.9
        assert open_files(status, fresh=False) == before
        now[0] = 105.0
        assert open_files(status, fresh=False) == before + 1
    now[0] = 106.0
    assert open_files(status, fresh=True) == before
    assert open_files(status, fresh=False) == before


def test_a_forked_child_shows_nothing_that_its_parent_saw():
    status = Status(LogHandler(), lambda: 100.0, process_metrics=True)
    before = open_files(status, fresh=False)
    with Path(os.devnull).open():
        status.after_fork_in_child()
        assert open_files(status, fresh=False) == before + 1
