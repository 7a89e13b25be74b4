"""What the ports delete, chunk by chunk, so that neither a writer nor an event loop waits for all of it."""

import asyncio
from collections.abc import Callable

from ._chunk import Verdict
from ._ring import Ring


async def delete(ring: Ring, name: str, verdict: Verdict) -> int:
    """Take out what the verdict dooms of what is stored now, oldest first, until it says None; how many went."""
    deleted, place, end = 0, 0, ring.next - 1
    while place < end:
        place, number = ring.sweep(name, place, verdict)
        deleted += number
        await asyncio.sleep(0)
    return deleted


def older_than(timestamp: float, level: str | None) -> Verdict:
    """Those older than this (exclusive)."""
    return lambda time, mark, _: time < timestamp and level in (None, mark)


def first(count: int, level: str | None) -> Verdict:
    """So many of the oldest."""
    return _until(count, level, lambda _: 1)


def bytes_of(excess: int, level: str | None) -> Verdict:
    """The oldest that hold so many bytes."""
    return _until(excess, level, lambda size: size)


def _until(left: int, level: str | None, weight: Callable[[int], int]) -> Verdict:
    def verdict(_time: float, mark: str, size: int) -> bool | None:
        nonlocal left
        if left <= 0:
            return None
        doomed = level in (None, mark)
        left -= weight(size) if doomed else 0
        return doomed

    return verdict
