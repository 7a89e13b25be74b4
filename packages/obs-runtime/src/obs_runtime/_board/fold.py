"""How workers come and how dead ones go: under the gate, by one replacement of one file.

A crash between any two steps neither loses nor doubles: before the replacement the worker's file counts, after it
the mark says that the file does not.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final

from . import files, retired
from ._errors import BoardError, DamagedError, UnknownFormatError
from ._points import reach
from .format import HEAD, decode_header
from .live import SUFFIX, Reader, live_files
from .locks import Opened, held
from .model import Column, Published
from .retired import Retired, RunKey
from .run import is_alive

# How long a file that cannot be read, of another release perhaps, waits for who can.
_STRANGE: Final = 600.0
_NONE: Final = retired.encode(Retired())
# How many runs are remembered: each server that has workers here, and each process that forks some.
_RUNS: Final = 64


class Past:
    """The gate, and the file of retired sums behind it."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._gate = folder / "gate"
        self._path = folder / "retired"
        self._clock = clock
        self._known = Retired()
        self._published: tuple[Retired, Published] | None = None

    @contextmanager
    def gate(self, seconds: float) -> Iterator[None]:
        """One process at a time. Raises `BoardError` after so many seconds."""
        with held(self._gate, seconds):
            yield

    def read(self) -> Retired:
        """The retired sums, not to be changed. Raises `OSError` or `BoardError`: then the totals are not known."""
        try:
            content = files.read_all(self._path)
        except FileNotFoundError:
            content = _NONE
        if retired.nonce_of(content) != self._known.nonce:
            self._known = retired.decode(content)
        return self._known

    def published(self, past: Retired) -> Published:
        """The same as something to merge, made once for each content."""
        if self._published is None or self._published[0] is not past:
            self._published = past, past.published()
        return self._published[1]

    def begin(self, run: RunKey | None) -> None:
        """At the start of a worker, under the gate: totals begin from zero with a new run where nobody lives."""
        try:
            past = self._to_change()
        except DamagedError:
            # Nothing that is in it can be known, which is as good as nothing once nobody lives.
            past = None
        going_on = past is not None and (run in past.runs or any(map(is_alive, past.runs)))
        dead = self._dead_if_all()
        if dead is not None and not going_on:
            past = self._reset(dead)
        if run is not None and past is not None and run not in past.runs:
            past.runs = [*past.runs, run][-_RUNS:]
            self._replace(past)

    def _reset(self, dead: Sequence[str]) -> Retired:
        now = self._clock()
        past = Retired(marks=dict.fromkeys(dead, now))
        self._replace(past)
        reach("reset")
        for worker in dead:
            (self._folder / f"{worker}{SUFFIX}").unlink(missing_ok=True)
        return past

    def free_number(self) -> int:
        """The lowest number that no living worker has."""
        taken = set()
        for path in live_files(self._folder):
            with _locked_if_dead(path) as (file, dead):
                if file is not None and not dead:
                    with suppress(BoardError):
                        taken.add(decode_header(os.pread(file.descriptor, HEAD, 0)).number)
        return next(number for number in range(len(taken) + 1) if number not in taken)

    def fold_dead(self, own: str, seconds: float) -> list[tuple[str, str]]:
        """Fold every dead worker; who was left out with which metric. Raises `OSError` or `BoardError`."""
        dead = [path for path in live_files(self._folder) if path.stem != own and _is_dead(path)]
        conflicts: list[tuple[str, str]] = []
        if dead:
            with self.gate(seconds):
                for path in dead:
                    conflicts += self._fold(path)
        return conflicts

    def tidy(self, seconds: float) -> None:
        """Remove what was abandoned: files in the making, and marks that nobody needs."""
        files.remove_abandoned(self._folder)
        past = self.read()
        if any(self._clock() - marked > retired.KEEP_MARK for marked in past.marks.values()):
            with self.gate(seconds):
                changed = self._to_change()
                if changed is not None:
                    changed.prune(self._clock(), {path.stem for path in live_files(self._folder)})
                    self._replace(changed)

    def _fold(self, path: Path) -> Sequence[tuple[str, str]]:
        with _locked_if_dead(path) as (file, dead):
            if file is None or not dead:
                return ()
            reach("locked")
            past = self._to_change()
            if past is None:
                return ()
            conflicts: list[str] = []
            if path.stem not in past.marks:
                try:
                    worker = Reader().read_open(file.descriptor)
                except (UnknownFormatError, DamagedError):
                    _remove_if_old(path)
                    return ()
                reach("read")
                conflicts = past.fold(worker, self._clock(), self._shown_beside(path))
                past.outlive(time.time())
                self._replace(past)
                reach("replaced")
            path.unlink(missing_ok=True)
            reach("unlinked")
            return [(path.stem, name) for name in conflicts]

    def _shown_beside(self, path: Path) -> Callable[[str], set[str]]:
        """The series of a metric in all other files; they are read only if somebody asks."""

        @cache
        def columns() -> list[Column]:
            found: list[Column] = []
            for other in live_files(self._folder):
                if other != path:
                    # What cannot be read cannot be shown either.
                    with suppress(FileNotFoundError, BoardError):
                        found += Reader().read(other).columns
            return found

        return lambda metric: {key for one in columns() if one.metadata.name == metric for key in one.keys}

    def _dead_if_all(self) -> list[str] | None:
        """Every worker, if all are dead."""
        paths = live_files(self._folder)
        return [path.stem for path in paths] if all(map(_is_dead, paths)) else None

    def _to_change(self) -> Retired | None:
        """A copy of the retired sums to change; None where they are of another release, which alone may do so."""
        try:
            return retired.decode(files.read_all(self._path))
        except FileNotFoundError:
            return Retired()
        except UnknownFormatError:
            return None

    def _replace(self, past: Retired) -> None:
        files.create(self._path, retired.encode(past)).close()


@contextmanager
def _locked_if_dead(path: Path) -> Iterator[tuple[Opened | None, bool]]:
    """The open file of a worker, and whether it is dead; then it is locked. None where it is gone or was replaced."""
    try:
        file = Opened(path, os.O_RDWR)
    except FileNotFoundError:
        yield None, False
        return
    with file:
        dead = file.take()
        try:
            same = path.lstat().st_ino == file.inode
        except FileNotFoundError:
            same = False
        yield (file if same else None), dead


def _is_dead(path: Path) -> bool:
    with _locked_if_dead(path) as (file, dead):
        return file is not None and dead


def _remove_if_old(path: Path) -> None:
    if time.time() - path.lstat().st_mtime > _STRANGE:
        path.unlink(missing_ok=True)
