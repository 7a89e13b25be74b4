"""Power cuts: what a process did to its files is noted, and done again up to a random operation.

As in SQLite's own crash tests: of what was written since a file was synced last, none is there, or a random half of
the sectors. Names are as a journal of the file system keeps them: a change of one is there if anything was synced
after it, else perhaps, and then so is each change before it.

`python -m faults.power FOLDER COUNT SEED` makes the history and checks that many cuts of it; `upgrade` as a fourth
argument has an upgrade cut off, `unsafe` a storage that does not sync what it acknowledges.
"""

import json
import os
import random
import shutil
import struct
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from obs_storage_sqlite import SQLiteStorage

from . import version_1
from .children import child_result, in_lanes
from .figures import Figures
from .storing import check, with_small_blocks, work

SECTOR = 512
BATCHES = 250
_HEAD = struct.Struct("<4q")


class Change(NamedTuple):
    kind: str
    path: str
    place: int
    data: bytes


@dataclass
class File:
    """What is surely on the disk, and what was done since."""

    synced: bytearray = field(default_factory=bytearray)
    since: list[Change] = field(default_factory=list)

    def sync(self) -> None:
        for change in self.since:
            apply(self.synced, change)
        self.since.clear()

    def after_cut(self, chance: random.Random) -> bytes:
        """None of what was not synced, or a random half of its sectors."""
        content = bytearray(self.synced)
        if chance.random() < 0.25:
            return bytes(content)
        for change in self.since:
            for part in sectors(change):
                if chance.random() < 0.5:
                    apply(content, part)
        return bytes(content)


class Disk:
    """The files of one history, up to some operation."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        # Changes of names that nothing was synced after: what stood there before.
        self._renamed: list[dict[str, File]] = []

    def do(self, change: Change) -> None:
        if change.kind in "ur":
            self._renamed.append(dict(self.files))
            file = self.files.pop(change.path, File())
            if change.kind == "r":
                self.files[change.data.decode()] = file
            return
        file = self.files.setdefault(change.path, File())
        if change.kind == "s":
            file.sync()
            self._renamed.clear()
        else:
            file.since.append(change)

    def cut(self, chance: random.Random) -> dict[str, bytes]:
        """What is on the disk when the power fails now."""
        states = [*self._renamed, self.files]
        return {path: file.after_cut(chance) for path, file in chance.choice(states).items()}


def apply(content: bytearray, change: Change) -> None:
    end = change.place + len(change.data)
    if change.kind == "t":
        del content[change.place :]
        end = change.place
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    content[change.place : end] = change.data if change.kind == "w" else b""


def sectors(change: Change) -> Iterator[Change]:
    if change.kind != "w":
        yield change
        return
    at = change.place
    while at < change.place + len(change.data):
        end = (at // SECTOR + 1) * SECTOR
        part = change.data[at - change.place : end - change.place]
        yield Change("w", change.path, at, part)
        at = end


def history(log: Path) -> list[Change]:
    content = log.read_bytes()
    changes, at = [], 0
    while at < len(content):
        kind, path, place, size = _HEAD.unpack_from(content, at)
        at += _HEAD.size
        name = content[at : at + path].decode()
        at += path
        length = size if chr(kind) in "wr" else 0
        changes.append(Change(chr(kind), name, place, content[at : at + length]))
        at += length
    return changes


def cuts(folder: Path, count: int) -> Figures:
    """So many cuts of a storage that is written, merged and held to a bound."""
    return in_lanes("power", folder, count)


def upgrade_cuts(folder: Path, count: int) -> Figures:
    """So many cuts of the upgrade of a file of schema version 1."""
    return in_lanes("power", folder, count, "upgrade")


def unsafe_cuts(folder: Path, count: int) -> Figures:
    """The same with `synchronous=NORMAL`, where batches are lost that were acknowledged: so it is found out."""
    return in_lanes("power", folder, count, "unsafe")


def lane(folder: Path, count: int, seed: int, kind: str = "") -> dict[str, int]:
    chance = random.Random(seed)
    with_small_blocks()
    made, cut = folder / "made", folder / "cut"
    made.mkdir()
    disk = Disk()
    if kind == "upgrade":
        child_result(version_1.make, made / "obs.db")
        for path in made.iterdir():
            disk.files[str(path)] = File(bytearray(path.read_bytes()))
        log = _logged(folder, _upgrade, made / "obs.db")
    else:
        log = _logged(folder, work, made, 1, BATCHES, 1, kind == "unsafe")
    changes = history(log)
    acknowledged = lost = done = 0
    for point in sorted(chance.sample(range(1, len(changes)), min(count, len(changes) - 1))):
        for change in changes[done:point]:
            if change.path.endswith(".ack"):
                acknowledged = (
                    int(change.data) if len(change.data) == 20 and not change.place else acknowledged
                )
            else:
                disk.do(change)
        done = point
        lost += _lay_down(disk.cut(chance), made, cut)
        if kind == "upgrade":
            child_result(version_1.check, cut / "obs.db")
        elif (cut / "obs.db").exists() or acknowledged:
            child_result(check, cut, acknowledged)
    return {"cuts": count, "changes of files": len(changes), "bytes on the disks": lost}


def _logged(folder: Path, work: Callable[..., Awaitable[None]], *values: object) -> Path:
    """Do it in a child, with every change noted."""
    log = folder / "changes"

    async def logged() -> None:
        os.environ["OBS_FAULTS_LOG"] = str(log)
        await work(*values)

    child_result(logged)
    return log


async def _upgrade(path: Path) -> None:
    async with SQLiteStorage(path):
        pass


def _lay_down(files: dict[str, bytes], made: Path, folder: Path) -> int:
    """Write them, but for what is shared memory; how many bytes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path, content in files.items():
        if not path.endswith("-shm"):
            (folder / Path(path).relative_to(made)).write_bytes(content)
    return sum(map(len, files.values()))


if __name__ == "__main__":
    print(json.dumps(lane(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])))
