"""The one connection that writes: transactions, giving space back, and what is done when the file fails."""

import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from obs_core import StorageError

from ._connection import PATIENCE, copy_log, give_pages, refuse_changed, retried
from ._failures import is_cut, is_damage, is_full, is_refused
from ._files import beside, create_database
from ._forks import inside_sqlite
from ._gate import pause
from ._migration import plan_upgrade
from ._opening import Place, generation_of
from ._relief import Relief, drop_oldest
from ._reserve import Reserve
from ._schema import renew

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
_RELIEF_STEPS: Final = 16
_SETTLED: Final = 1.0
# So many writes in a row that the disk refused: the files are opened anew.
_IN_A_ROW: Final = 3
# Steps of an upgrade between two lines that tell how far it is.
_PROGRESS: Final = 25


class Database:
    """Used by one thread. The constructor opens and, where it must, creates or sets aside the file."""

    _identity: Sequence[object] | None = None
    _failed = 0

    def __init__(self, path: Path) -> None:
        self.path = path
        # Blocks that could not be rewritten, so that the others have their turn.
        self.unreadable: set[int] = set()
        self._seen: tuple[int, int, str] | None = None
        self._settled: tuple[int, int, str] | None = None
        # Seconds of the longest hold of the write lock; whoever measures sets it back.
        self.longest = 0.0
        self.relief = Relief(path)
        self._reserve = Reserve(beside(path, "-reserve"))
        try:
            self._place = Place(path)
            self._gate = self._place.gate
            with ExitStack() as failed:
                failed.callback(self.close)
                self._open()
                self._upgrade()
                failed.pop_all()
        except OSError as error:
            raise StorageError(f"{path} cannot be opened: {error.strerror}: choose another folder") from error

    def transaction(self, work: Work[T]) -> T:
        """Run `work` in one write transaction, committed with `synchronous=FULL`. Raises `StorageError`.

        `work` may run again: after room was made on a full disk, or after a damaged file was set aside.
        """
        self._notice_replacement()
        try:
            return self._held(work)
        except sqlite3.Error as error:
            failure = error
        for _ in self._mended(failure):
            try:
                return self._held(work)
            except sqlite3.Error as error:
                failure = error
                if not is_full(error):
                    break
        self._failed += is_refused(failure)
        raise StorageError(f"{self.path} could not be written: {failure}") from failure

    def read(self, work: Work[T]) -> T:
        """Run queries that are part of writing; nothing may be left unread. Raises `StorageError`."""
        with inside_sqlite():
            try:
                return work(self._connection)
            except sqlite3.Error as error:
                self.doubt(error)
                with suppress(sqlite3.Error):
                    refuse_changed(self._connection, self.path)
                raise StorageError(f"{self.path} could not be read: {error}") from error

    def doubt(self, error: sqlite3.Error) -> None:
        """Somebody could not read: where the files are at fault, they are opened anew before the next write."""
        # Not what was found just before they were opened anew.
        settled = time.monotonic() - self._opened > _SETTLED
        if settled and (is_damage(error) or is_cut(error)):
            self._identity = None

    def reopen_if_doubted(self, error: sqlite3.Error) -> None:
        """The same at once: one that stands idle may have nothing to write for long."""
        self.doubt(error)
        if self._identity is None:
            with suppress(StorageError):
                self.transaction(lambda _: None)

    def select(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows of one query."""
        return self.read(lambda connection: connection.execute(sql, values).fetchall())

    def is_settled(self) -> bool:
        """Whether nothing was written, by whomever, since the look before the last `settle`."""
        ((version,),) = self.select("PRAGMA data_version")
        self._seen = (version, self._connection.total_changes, self.generation)
        return self._seen == self._settled

    def settle(self) -> None:
        """There is nothing to be done in the state that `is_settled` saw."""
        self._settled = self._seen

    def reclaim(self, keep_free: int = 64) -> bool:
        """Give some free pages back to the file system in one short step; whether there may be more."""
        ((free,),) = self.select("PRAGMA freelist_count")
        if free <= keep_free:
            return False
        pages = min(free - keep_free, 256)
        self.transaction(lambda connection: give_pages(connection, pages))
        return True

    def give_back(self) -> None:
        """All that `reclaim` can, step by step."""
        while self.reclaim():
            # Whoever waits at the gate sleeps between two looks: let one of them have it.
            pause()
        self.checkpoint()

    def checkpoint(self) -> None:
        """Bring the write-ahead log into the file, and cut it to nothing where no reader is in the way."""
        if self._place.identities() != self._identity:
            return
        with suppress(sqlite3.OperationalError), self._gate.held(PATIENCE):
            copy_log(self._connection)

    def make_reserve(self) -> bool:
        """Take room against a full disk."""
        return self._reserve.make()

    def close(self) -> None:
        """Close; the last one of all processes removes the write-ahead log."""
        with suppress(StorageError, sqlite3.Error, OSError, AttributeError):  # the last where it did not open
            connection = self._connection
            with suppress(StorageError, OSError), self._gate.held(1.0):
                connection.close()
            # The gate was not to be had: close all the same.
            connection.close()
        self._gate.close()

    def _open(self) -> None:
        self._connection, self.generation, self._identity = self._place.open()
        self._opened = time.monotonic()

    def _upgrade(self) -> None:
        """Bring what an older release wrote into today's layout, in steps."""
        steps = 0
        while step := self.read(plan_upgrade):
            left = self.transaction(step)
            steps += 1
            if steps % _PROGRESS == 0:
                sys.stderr.write(f"obs: {self.path} is being upgraded: {left} old rows are left\n")

    def _held(self, work: Work[T]) -> T:
        with self._gate.held(PATIENCE):
            begun = time.perf_counter()
            try:
                result = self._committed(work)
                self._failed = 0
            finally:
                self.longest = max(self.longest, time.perf_counter() - begun)
            self._place.shorten_log(self._connection)
            return result

    def _committed(self, work: Work[T]) -> T:
        return retried(lambda: self._attempt(work))

    def _attempt(self, work: Work[T]) -> T:
        connection = self._connection
        with inside_sqlite():  # from here on only: who waits for a turn keeps no fork waiting
            connection.execute("BEGIN IMMEDIATE")
            try:
                refuse_changed(connection, self.path)
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

    def _mended(self, error: sqlite3.Error) -> Iterator[None]:
        """Do something about a failure, step by step; after each it is worth another try."""
        if is_damage(error) or is_cut(error):
            self._reopen()
            yield
        elif is_full(error):
            yield from self._make_room()

    def _make_room(self) -> Iterator[None]:
        """On a full disk: the reserve first, then a checkpoint, then small deletions with a checkpoint each."""
        self._reserve.drop()
        with self._gate.held(PATIENCE), suppress(sqlite3.OperationalError):
            copy_log(self._connection)
        yield
        for _ in range(_RELIEF_STEPS):
            try:
                with self._gate.held(PATIENCE):
                    gone = self._committed(drop_oldest)
                    copy_log(self._connection)
            except sqlite3.OperationalError:
                return
            if not any(gone):
                return
            self.relief.note(gone)
            yield

    def _notice_replacement(self) -> None:
        """Before each write: one that was removed or replaced would swallow it without an error, or spoil it."""
        now = self._place.identities()
        if now == self._identity:
            if self._failed >= _IN_A_ROW:
                self._open_again()
            return
        known, self._identity = self._identity, None
        if known is not None and now[0] != known[0]:
            sys.stderr.write(f"obs: {self.path} was removed or replaced: a new file takes its place\n")
        if known is not None and now[0] == known[0] and now[1] != known[1] and now[2] == known[2]:
            self._place.drop_journal(now)
        self._reopen()

    def _open_again(self) -> None:
        """The same files: what a disk answered may be the fault of what was opened on it."""
        with suppress(sqlite3.Error):
            self._connection.close()
        self._open()
        self._failed = 0

    def _reopen(self) -> None:
        # Where it fails, the next look tries again.
        self._identity = None
        known = self.generation
        with suppress(sqlite3.Error):
            self._connection.close()
        create_database(self.path)
        self._open()
        self._upgrade()
        # What was open a moment ago is gone, or is an older state of itself: its numbers were given already.
        self.transaction(lambda connection: renew(connection, known))
        self.generation = self.read(generation_of)
