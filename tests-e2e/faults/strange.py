"""Strange files where a storage is to open: each made, opened by a real process, and held to its rule.

The rules are those of `packages/obs-storage-sqlite/docs/faults.md`, by the same names.
"""

import asyncio
import json
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from obs_core import LogEntry
from obs_storage_sqlite import SQLiteStorage

from .children import start
from .figures import Figures, holds
from .shim import Disk

BATCHES, ENTRIES = 30, 20
NOBODY = 65534
PAGE = 4096


def made(path: Path, *, leave_journal: bool = False) -> None:
    """A storage of some batches; with its journal, as `kill -9` leaves it, where asked for."""

    async def write() -> None:
        async with SQLiteStorage(path) as storage:
            for batch in range(BATCHES):
                entries = [LogEntry(1.0, "INFO", f"{batch} {os.urandom(40).hex()}") for _ in range(ENTRIES)]
                await storage.logs.write(entries)
            if leave_journal:
                for ending in ("", "-wal"):
                    shutil.copy(f"{path}{ending}", f"{path}{ending}.copy")

    asyncio.run(write())
    if leave_journal:
        for ending in ("", "-wal"):
            os.replace(f"{path}{ending}.copy", f"{path}{ending}")  # noqa: PTH105


@dataclass(frozen=True)
class Opened:
    """What a process said that tried to open it."""

    answer: dict[str, Any]
    stderr: str
    aside: list[Path]

    @property
    def found(self) -> int:
        return len(self.answer.get("found", ()))

    @property
    def refused(self) -> str:
        return str(self.answer.get("refused", ""))


def opened(path: Path, *user: int, env: Mapping[str, str] | None = None) -> Opened:
    process = start("opening", path, *user, env=env)
    output, error = process.communicate(timeout=60)
    holds(process.returncode == 0, f"it failed: {error[-2000:]}")
    aside = sorted(path.parent.glob("obs.db.corrupt-*"))
    return Opened(
        json.loads(output), error, [one for one in aside if not one.name.endswith(("-wal", "-shm"))]
    )


def is_set_aside(path: Path, *, exactly: bool = True) -> str:
    """It is kept under a name that says so, and a new file begins. What opens at first is not the same to the byte."""
    before = path.read_bytes()
    seen = opened(path)
    holds(seen.found == 1 and not seen.answer["problems"], f"a new file should begin: {seen}")
    (kept,) = [one.read_bytes() for one in seen.aside]
    holds(len(kept) == len(before), "what was set aside is not what was there")
    holds(not exactly or kept == before, "what was set aside was changed")
    lines = seen.stderr.splitlines()
    holds(len(lines) == 1 and "it is kept as obs.db.corrupt-" in lines[0], f"one clear line: {lines}")
    return "set aside, a new one begun"


def is_refused(path: Path, *user: int) -> str:
    """It is left as it is, byte for byte, and the error says what to do."""
    before = _content(path)
    seen = opened(path, *user)
    holds(seen.refused, f"it should be refused: {seen}")
    holds(_content(path) == before and not seen.aside, "it was changed")
    return f"refused: {seen.refused.partition(': ')[2] or seen.refused}"


def _content(path: Path) -> object:
    if path.is_dir():
        return sorted(one.name for one in path.iterdir())
    return (path.read_bytes(), path.is_symlink()) if path.exists() else None


def holds_at_least(path: Path, entries: int, problems: int = 0) -> str:
    """It opens; so much is there, and the new entry."""
    seen = opened(path)
    holds(
        seen.found > entries,
        f"{entries} entries and the new one should be there: {seen.found}, {seen.stderr}",
    )
    holds(len(seen.answer["problems"]) == problems, f"verify: {seen.answer['problems']}")
    holds(not seen.aside, f"set aside: {seen.aside}")
    return f"{seen.found - 1} of {BATCHES * ENTRIES} entries are there"


def _write(path: Path, content: bytes, at: int = 0) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def random_bytes(path: Path) -> str:
    path.write_bytes(random.Random(1).randbytes(100_000))
    return is_set_aside(path)


def a_text_file(path: Path) -> str:
    path.write_text("not a database, sorry")
    return is_set_aside(path)


def half_a_file(path: Path) -> str:
    made(path)
    os.truncate(path, path.stat().st_size // 2)
    return is_set_aside(path)


def a_hundred_bytes(path: Path) -> str:
    made(path)
    os.truncate(path, 100)
    return is_set_aside(path)


def pages_scrambled(path: Path) -> str:
    made(path)
    pages = path.stat().st_size // PAGE
    for page in range(pages // 2, pages // 2 + 3):
        _write(path, random.Random(page).randbytes(PAGE), page * PAGE)
    return is_set_aside(path, exactly=False)


def an_empty_file(path: Path) -> str:
    path.touch()
    holds_at_least(path, 0)
    return "a new one begun"


def a_folder_that_is_missing(path: Path) -> str:
    path = path.parent / "deep" / "down" / "obs.db"
    holds_at_least(path, 0)
    mode = stat.S_IMODE(path.parent.stat().st_mode)
    holds(mode == 0o700, f"the folder has mode {mode:o}")
    return "made, with mode 0700"


def another_applications_file(path: Path) -> str:
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE users (name); INSERT INTO users VALUES ('ada');")
    connection.close()
    return is_refused(path)


def a_newer_schema(path: Path) -> str:
    made(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=DELETE").fetchall()
    connection.execute("PRAGMA user_version=999")
    connection.close()
    return is_refused(path)


def a_folder_in_its_place(path: Path) -> str:
    path.mkdir()
    return is_refused(path)


def a_symbolic_link(path: Path) -> str:
    made(path.parent / "other.db")
    path.symlink_to(path.parent / "other.db")
    return is_refused(path)


def another_users_file_in_a_shared_folder(path: Path) -> str:
    if os.geteuid():
        return "not made: that needs root"
    made(path)
    path.parent.chmod(0o1777)
    os.chown(path, 1, 1)
    path.chmod(0o666)
    return is_refused(path)


def a_file_that_may_only_be_read(path: Path) -> str:
    return _as_a_user_who_may_not_write(path, 0o444, 0o755)


def a_folder_that_may_only_be_read(path: Path) -> str:
    return _as_a_user_who_may_not_write(path, 0o644, 0o555)


def _as_a_user_who_may_not_write(path: Path, file: int, folder: int) -> str:
    """Modes do not bind root, who becomes another user for it."""
    made(path)
    user = (NOBODY,) if os.geteuid() == 0 else ()
    for one in (path, path.parent):
        os.chown(one, *(user * 2 or (-1, -1)))
    path.chmod(file)
    path.parent.chmod(folder)
    try:
        return is_refused(path, *user)
    finally:
        path.parent.chmod(0o755)


def a_bit_flipped_in_a_blob(path: Path) -> str:
    made(path)
    connection = sqlite3.connect(path)
    (content,) = connection.execute("SELECT data FROM head WHERE id = (SELECT min(id) FROM head)").fetchone()
    connection.close()
    at = path.read_bytes().index(content[-200:]) + 100
    _write(path, bytes([path.read_bytes()[at] ^ 1]), at)
    return holds_at_least(path, (BATCHES - 1) * ENTRIES, problems=1)


def a_bad_frame_in_the_journal(path: Path) -> str:
    made(path, leave_journal=True)
    journal = Path(f"{path}-wal")
    _write(journal, random.Random(1).randbytes(500), journal.stat().st_size // 2)
    return holds_at_least(path, 0)


def a_journal_that_was_removed(path: Path) -> str:
    made(path, leave_journal=True)
    Path(f"{path}-wal").unlink()
    return _as_new_or_more(path)


def a_journal_that_was_emptied(path: Path) -> str:
    made(path, leave_journal=True)
    os.truncate(f"{path}-wal", 0)
    return _as_new_or_more(path)


def _as_new_or_more(path: Path) -> str:
    """All that was never brought into the file is gone with its journal."""
    return holds_at_least(path, 0)


def shared_memory_that_was_removed(path: Path) -> str:
    made(path, leave_journal=True)
    Path(f"{path}-shm").unlink(missing_ok=True)
    return holds_at_least(path, BATCHES * ENTRIES - 1)


def a_disk_without_room_for_shared_memory(path: Path) -> str:
    return _refused_until_it_is_over(path, "enospc", "-shm$")


def a_disk_without_shared_memory(path: Path) -> str:
    return _refused_until_it_is_over(path, "noshm", "-shm$")


def a_disk_without_locks(path: Path) -> str:
    return _refused_until_it_is_over(path, "nolocks", ".db")


def _refused_until_it_is_over(path: Path, fault: str, part: str) -> str:
    """It answers `journal_mode=WAL` as if all were well: the first write tells."""
    made(path)
    disk = Disk(path.parent / "faults")
    with disk.failing(fault, part=part):
        seen = opened(path, env=disk.env)
    holds(seen.refused and not seen.aside, f"it should be refused: {seen}")
    holds_at_least(path, BATCHES * ENTRIES - 1)
    return f"refused, and nothing lost: {seen.refused.partition(': ')[2]}"


def a_limit_on_the_size_of_files(path: Path) -> str:
    """Writes fail while it is on, and go on when it is lifted, on the same connection."""
    made(path)
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    holds(done.stdout.startswith("failed, then written"), f"{done.stdout}{done.stderr[-2000:]}")
    holds_at_least(path, BATCHES * ENTRIES)
    return "failed, then written"


_LIMITED = """
import asyncio, os, resource, sys
from obs_core import LogEntry, StorageError
from obs_storage_sqlite import SQLiteStorage

async def main():
    async with SQLiteStorage(sys.argv[1]) as storage:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        batch = [LogEntry(1.0, "INFO", os.urandom(20_000).hex())]
        try:
            await storage.logs.write(batch)
        except StorageError:
            print("failed", end=", ")
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        await storage.logs.write(batch)
        print("then written")

asyncio.run(main())
"""


def four_that_meet_a_damaged_file_at_once(path: Path) -> str:
    path.write_bytes(random.Random(1).randbytes(100_000))
    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(opened, [path] * 4))
    holds(all(one.found for one in seen), f"all four should write: {seen}")
    aside = sorted(path.parent.glob("obs.db.corrupt-*"))
    holds(len([one for one in aside if not one.name.endswith(("-wal", "-shm"))]) == 1, f"set aside: {aside}")
    holds(opened(path).found == 5, "what the four wrote is not all there")
    return "set aside once"


CASES: tuple[Callable[[Path], str], ...] = (
    random_bytes,
    a_text_file,
    half_a_file,
    a_hundred_bytes,
    pages_scrambled,
    an_empty_file,
    a_folder_that_is_missing,
    another_applications_file,
    a_newer_schema,
    a_folder_in_its_place,
    a_symbolic_link,
    another_users_file_in_a_shared_folder,
    a_file_that_may_only_be_read,
    a_folder_that_may_only_be_read,
    a_bit_flipped_in_a_blob,
    a_bad_frame_in_the_journal,
    a_journal_that_was_removed,
    a_journal_that_was_emptied,
    shared_memory_that_was_removed,
    a_disk_without_room_for_shared_memory,
    a_disk_without_shared_memory,
    a_disk_without_locks,
    a_limit_on_the_size_of_files,
    four_that_meet_a_damaged_file_at_once,
)


def name_of(case: Callable[[Path], str]) -> str:
    return case.__name__.replace("_", " ")


def strange_files(folder: Path, rounds: int) -> Figures:
    """Every case, so many times."""
    figures: Figures = {}
    for number in range(rounds):
        for case in CASES:
            own = folder / str(number) / case.__name__
            own.mkdir(parents=True)
            for each in (own, own.parent, folder):
                each.chmod(0o755)
            figures[name_of(case)] = case(own / "obs.db")
    return figures
