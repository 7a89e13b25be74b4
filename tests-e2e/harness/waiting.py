"""Waiting with a deadline: a wait that never ends is a test that tells nothing."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(probe: Callable[[], T], what: str, deadline: float = 20.0, pause: float = 0.05) -> T:
    """The first result of `probe` that is true. Raises `AssertionError` with the last one after `deadline` s."""
    end = time.monotonic() + deadline
    while True:
        last = probe()
        if last:
            return last
        if time.monotonic() > end:
            raise AssertionError(f"after {deadline} s still not: {what} (last: {last!r})")
        time.sleep(pause)
