"""The board of one worker: publish its own values, collect those of all."""

import secrets
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from obs_core import MetricFamily, MetricMetadata, WorkersPort

from ._errors import BoardError, DamagedError, GateHeldError, NoRoomError, UnknownFormatError
from .announced import is_new
from .fold import Past
from .format import encode_record
from .live import LiveFile, Reader, live_files
from .locks import Lease, make_folder
from .merge import Merger
from .model import Published
from .run import own_run
from .slots import RearrangedError, Slots

_GATE: Final = 1.0
# Folding is tried again each second, in the thread that also writes logs.
_SHORT: Final = 0.02
_SLOW: Final = 10.0
WORKERS: Final = MetricMetadata("obs_workers", "gauge", "Workers that are counted in these metrics.")
_STRANGERS: Final = MetricMetadata(
    "obs_workers_left_out", "gauge", "Workers whose file is of another release and not counted."
)


class Board:
    """A worker's place in the folder of its service; other processes use theirs at the same time.

    The first `publish` makes the worker's file, and with it the worker. What cannot be read or written raises
    `OSError` or `BoardError`, and leaves the totals as they were: no scrape ever shows less than one before it.
    """

    _file: LiveFile | None
    _slots: Slots

    def __init__(
        self,
        folder: Path,
        *,
        service: str = "",
        on_conflict: Callable[[str], None] = lambda _metric: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self.lease = Lease(folder / "lease")
        self._clock = clock
        self._on_conflict = on_conflict
        self._conflicts: set[tuple[str, str]] = set()
        self.service = service
        self._become_new()

    @property
    def joined(self) -> bool:
        """Whether this worker has a file that others read."""
        return self._file is not None

    def unreachable(self) -> bool:
        """Whether there is no folder and no server above us: nobody else can be on this board."""
        return not self.folder.is_dir() and own_run() is None

    def publish(self, families: Sequence[MetricFamily]) -> None:
        """Show these from now on, in one piece. What did not change is not written again.

        Raises `NoRoomError` on a full disk, where there are new series: all others were shown.
        """
        with self._lock:
            if self._file is not None and self._file.in_place():
                try:
                    self._publish(self._file, families)
                    return
                except RearrangedError:
                    pass
            self._publish_anew(families)

    def collect(self) -> list[MetricFamily]:
        """The families of the service, by name."""
        with self._lock:
            for _ in range(3):
                began = time.monotonic()
                # First the living, then the dead: in any other order totals fall.
                published, strangers = self._read_living()
                past = self._past.read()
                if time.monotonic() - began <= _SLOW:
                    break
            else:
                raise BoardError(f"{self.folder} answers too slowly for a right total")
            self._reader.keep(published)
            living = sorted((one for one in published if one.id not in past.marks), key=_number)
            dead = [self._past.published(past)] if past.sums else []
            merged = self._merger.merge([*dead, *living])
        own = [single(WORKERS, len(living)), single(_STRANGERS, strangers)]
        return sorted([*merged, *own], key=lambda family: family.metadata.name)

    def announces(self, line: str) -> bool:
        """Whether this worker is the one to say it: each line is said once for all workers of a server."""
        run = own_run()
        return run is None or is_new(self.folder, run, line)

    def fold(self) -> None:
        """Take the sums of dead workers over, and remove what they left."""
        own = self._id.hex()
        for worker, metric in self._past.fold_dead(own, _SHORT):
            self._conflict(worker, metric)
        self._past.tidy(_SHORT)

    def close(self) -> None:
        """Leave: from now on this worker is dead, and another folds it."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
            self.lease.let_go()

    def after_fork_in_child(self) -> None:
        """Be a new worker: the file and the lease are the parent's, and the copies of their locks are closed."""
        self.lease = Lease(self.folder / "lease")
        self._become_new()

    def _become_new(self) -> None:
        # The lock may have been held by a thread that does not exist in a forked child.
        self._lock = threading.RLock()
        self._id = secrets.token_bytes(16)
        self._file = None
        self._slots = Slots(self.service)
        self._keys = b""
        self._shown: tuple[bytes, bytes] = (b"", b"")
        self._past = Past(self.folder)
        self._reader = Reader()
        self._merger = Merger(self._conflict)

    def _publish(self, file: LiveFile, families: Sequence[MetricFamily]) -> None:
        self._keys += self._slots.fit(families)
        values, extra = self._slots.values(families), self._slots.beside(families, self._clock())
        shown = values.tobytes(), extra
        # Also what an attempt before this one could not write.
        new = self._keys[file.keys :]
        if not new and shown == self._shown:
            return
        if file.fits(len(self._keys), len(values), len(extra)):
            file.publish(new, values, extra)
        else:
            try:
                file.begin(self._keys, values, extra)
            except OSError as error:
                self._publish_what_is_there(file, families, values)
                new_ones = len(values) - file.series
                raise NoRoomError(
                    f"{new_ones} new series are not shown until they can be: {error}"
                ) from error
        self._shown = shown

    def _publish_what_is_there(
        self, file: LiveFile, families: Sequence[MetricFamily], values: "array[float]"
    ) -> None:
        """Show the series that have their place already, which costs no room."""
        extra = self._slots.beside(families, self._clock(), file.series)
        if not file.fits(file.keys, file.series, len(extra)):
            extra = b""
        self._shown = b"", b""
        file.publish(b"", values[: file.series], extra)

    def _publish_anew(self, families: Sequence[MetricFamily]) -> None:
        """Make the file, the first time or because series went; also where somebody removed it."""
        slots = self._slots.anew()
        keys = slots.fit(families) or encode_record([])
        values, extra = slots.values(families), slots.beside(families, self._clock())
        make_folder(self.folder)
        if self._file is None:
            self._file = self._join(keys, values, extra)
        else:
            try:
                self._file.begin(keys, values, extra)
            except OSError as error:
                self._shown = b"", b""
                self._file.publish(b"", self._slots.placed(families, self._file.series), b"")
                raise NoRoomError(
                    f"series that went are shown as 0 until they can be removed: {error}"
                ) from error
        self._slots, self._keys = slots, keys
        self._shown = values.tobytes(), extra

    def _join(self, keys: bytes, values: "array[float]", extra: bytes) -> LiveFile:
        """Come in, with a number that no other has.

        Behind a stopped process that holds the gate this is safe too, only no total begins anew then.
        """
        try:
            with self._past.gate(_GATE):
                self._past.begin(own_run())
                return self._make_file(keys, values, extra)
        except GateHeldError:
            return self._make_file(keys, values, extra)

    def _make_file(self, keys: bytes, values: "array[float]", extra: bytes) -> LiveFile:
        file = LiveFile(self.folder, self._id, self._past.free_number(), self._clock())
        file.begin(keys, values, extra)
        return file

    def _read_living(self) -> tuple[list[Published], int]:
        published, strangers = [], 0
        for path in live_files(self.folder):
            try:
                published.append(self._reader.read(path))
            except FileNotFoundError:
                continue
            except UnknownFormatError:
                strangers += 1
            except DamagedError as error:
                raise DamagedError(f"{path}: {error}") from error
        return published, strangers

    def _conflict(self, worker: str, metric: str) -> None:
        """Count it once for each worker, by the one process that keeps the service."""
        if self.lease.held and (worker, metric) not in self._conflicts:
            self._conflicts.add((worker, metric))
            self._on_conflict(metric)


def _number(one: Published) -> int:
    return one.number


def single(metadata: MetricMetadata, value: float) -> MetricFamily:
    return MetricFamily(metadata, [metadata.name], [float(value)])


if TYPE_CHECKING:
    _: type[WorkersPort] = Board
