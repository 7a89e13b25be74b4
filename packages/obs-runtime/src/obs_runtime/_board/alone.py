"""Without a board: this process is the whole service."""

from collections.abc import Sequence
from threading import RLock
from typing import TYPE_CHECKING

from obs_core import MetricFamily, WorkersPort

from .board import WORKERS, single
from .merge import Merger
from .model import Published
from .slots import Columns, RearrangedError, Slots


class Alone:
    """Shows what one worker would show on a board of its own, from memory."""

    _columns: Columns
    _published: Published | None
    _generation: int

    def __init__(self, *, service: str = "") -> None:
        self._slots = Slots(service)
        self.after_fork_in_child()

    @property
    def joined(self) -> bool:
        """Whether anything was published."""
        return self._published is not None

    def publish(self, families: Sequence[MetricFamily]) -> None:
        """Show these from now on."""
        with self._lock:
            try:
                keys = self._slots.fit(families)
            except RearrangedError:
                self._slots, self._columns = self._slots.anew(), Columns(0.0)
                keys = self._slots.fit(families)
                self._generation += 1
            if keys:
                self._columns.add(keys)
            values = self._slots.values(families)
            values.append(0.0)
            shape = (self._generation, self._columns.count)
            exemplars = self._slots.exemplars(families)
            self._published = Published("alone", 0, shape, self._columns.columns, values, {}, exemplars)

    def collect(self) -> list[MetricFamily]:
        """What was published, as the whole service."""
        with self._lock:
            merged = self._merger.merge([] if self._published is None else [self._published])
        return sorted([*merged, single(WORKERS, 1)], key=lambda family: family.metadata.name)

    def announces(self, _line: str) -> bool:
        """Whether this worker is the one to say it; it knows of no other."""
        return True

    def after_fork_in_child(self) -> None:
        """Be a new process; the lock may have been held by a thread that does not exist here."""
        self._lock = RLock()
        self._slots = self._slots.anew()
        self._columns = Columns(0.0)
        self._merger = Merger(lambda _worker, _metric: None)
        self._published = None
        self._generation = 0


if TYPE_CHECKING:
    _: type[WorkersPort] = Alone
