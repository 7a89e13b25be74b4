"""The storage: a fixed amount of memory for logs and metrics together."""

from collections.abc import Mapping
from os import getpid
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from obs_core import ConfigurationError, Storage, StorageClosedError

from ._held import Held
from ._ports import RingLogs, RingMetrics

MIN_BYTES: Final = 100_000


class RingStorage:
    """Keeps what fits into `max_bytes` (at least 100,000), and forgets the oldest of logs and metrics.

    A record counts with its encoded bytes and 80 more, the metadata of a family likewise. Raises
    `ConfigurationError` for a smaller bound. Closing forgets nothing; a forked child begins with nothing.
    """

    def __init__(self, max_bytes: int = 64_000_000) -> None:
        if max_bytes < MIN_BYTES:
            raise ConfigurationError(f"max_bytes must be at least {MIN_BYTES}, not {max_bytes}")
        self._max_bytes = max_bytes
        self._held = Held(max_bytes)
        self._pid = getpid()
        self._opened = False
        self._logs = RingLogs(self._find)
        self._metrics = RingMetrics(self._find)

    @property
    def logs(self) -> RingLogs:
        return self._logs

    @property
    def metrics(self) -> RingMetrics:
        return self._metrics

    @property
    def path(self) -> Path | None:
        return None

    @property
    def forgotten(self) -> Mapping[str, int]:
        """How many `logs` and `metrics` records were forgotten for want of room."""
        return self._held.ring.forgotten

    async def __aenter__(self) -> Self:
        if self._pid != getpid():
            # What is held is the parent's, and so may be its locks.
            self._held, self._pid = Held(self._max_bytes), getpid()
        self._opened = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._opened = False

    async def size(self) -> int:
        return await self._logs.size() + await self._metrics.size()

    def _find(self) -> Held:
        if not self._opened or self._pid != getpid():
            raise StorageClosedError("RingStorage")
        return self._held


if TYPE_CHECKING:
    _: type[Storage] = RingStorage
