"""What the ports need of the storage that owns them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

import aiosqlite

from obs_core import Registry

from ._database import Database
from ._writer import Plan
from ._writers import Batches

T = TypeVar("T")
C = TypeVar("C")


class Resource(Protocol):
    """The writing thread, and connections to read on."""

    @property
    def generation(self) -> str: ...

    @property
    def registry(self) -> Registry: ...

    batches: Batches
    # Numbered apart: between those of logs, which are noted later, each would be a range of its own.
    metric_batches: Batches

    def check(self) -> None:
        """Raise `StorageClosedError` unless it is open in this process."""

    async def run(self, work: Callable[[Database], T]) -> T:
        """Run a job in the writing thread."""

    async def store(self, plan: Plan[C], content: C, size: int) -> None:
        """Commit a batch of so many bytes, perhaps with others; see `Writer.store`."""

    async def read(self, work: Callable[[aiosqlite.Connection], Awaitable[T]]) -> T:
        """Run queries in one read transaction, which ends before this returns."""

    async def fetch(self, sql: str, values: Sequence[Any]) -> list[Any]:
        """All rows of one query."""
