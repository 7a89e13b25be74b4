import pytest

from obs_core import LEVELS
from obs_core._queue import OVERHEAD, REASONS, LogQueue

pytestmark = pytest.mark.unit


def put(queue: LogQueue, level: str, message: str = "x") -> bool:
    return queue.put(len(message), 1.0, level, message)


def test_entries_come_out_in_the_order_of_arrival_whatever_their_level():
    queue = LogQueue()
    levels = ["ERROR", "DEBUG", "INFO", "CRITICAL", "DEBUG"]
    for number, level in enumerate(levels):
        put(queue, level, str(number))
    assert [entry.message for entry in queue.drain(3)] == ["0", "1", "2"]
    assert [entry.message for entry in queue.drain(3)] == ["3", "4"]
    assert len(queue) == 0


def test_when_full_the_lowest_severities_go_first():
    queue = LogQueue(max_entries=100)
    for level in ("DEBUG", "INFO", "ERROR"):
        for _ in range(100):
            put(queue, level)
    assert {entry.level for entry in queue.drain(1000)} == {"ERROR"}
    assert queue.dropped_levels() == {**dict.fromkeys(LEVELS, 0), "DEBUG": 100, "INFO": 100}


def test_when_nothing_lower_is_there_the_new_one_goes():
    queue = LogQueue(max_entries=2)
    assert put(queue, "ERROR", "a")
    assert put(queue, "ERROR", "b")
    assert not put(queue, "ERROR", "c")
    assert not put(queue, "INFO", "d")
    assert [entry.message for entry in queue.drain(9)] == ["a", "b"]
    assert queue.dropped() == {**dict.fromkeys(REASONS, 0), "queue_full": 2}


def test_the_bound_in_bytes_holds():
    queue = LogQueue(max_bytes=10 * (OVERHEAD + 1000))
    for _ in range(50):
        put(queue, "INFO", "x" * 1000)
    assert len(queue) == 10
    assert queue.size <= queue.max_bytes
    assert queue.dropped()["queue_full"] == 40


def test_counts_of_drops_only_grow_and_reading_does_not_change_them():
    queue = LogQueue(max_entries=1)
    put(queue, "INFO")
    for expected in range(1, 5):
        put(queue, "INFO")
        assert queue.dropped()["queue_full"] == queue.dropped()["queue_full"] == expected


def test_a_forked_child_begins_with_nothing():
    queue = LogQueue(max_entries=1)
    put(queue, "INFO")
    put(queue, "INFO")
    queue.clear()
    assert (len(queue), queue.size, queue.dropped()) == (0, 0, dict.fromkeys(REASONS, 0))
    assert queue.accepted == 0


def test_an_entry_that_is_taken_before_it_is_counted_is_no_negative_length():
    queue = LogQueue()
    put(queue, "INFO")
    queue.entries -= 1  # as in another thread, between its two steps
    assert len(queue) == 1
    queue.drain(10)
    assert len(queue) == 0
