"""Named points between two steps: tests kill a process at each of them."""

from collections.abc import Callable


def _nothing(_name: str) -> None:
    return


reached: Callable[[str], None] = _nothing


def reach(name: str) -> None:
    """The step before is done, and the next is not."""
    reached(name)
