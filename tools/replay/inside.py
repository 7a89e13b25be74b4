"""Replays a folder in an environment where the packages are installed: `python -m replay.inside FOLDER STORAGE ...`."""

import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from obs_core import MemoryStorage, RetentionPolicy, Storage
from obs_runtime import EmbeddedRuntime
from obs_storage_ring import RingStorage
from obs_storage_sqlite import SQLiteStorage

from . import checks
from .lines import NUMBER, Line, is_text, lines_of

BATCH = 5_000
FOR_EVER = RetentionPolicy()
RING_BYTES_PER_LINE = 4_000


def storage_for(kind: str, folder: Path, lines: Sequence[Line]) -> Storage:
    """A storage that holds all of these lines."""
    if kind == "sqlite":
        return SQLiteStorage(folder / "obs.db")
    if kind == "ring":
        return RingStorage(max_bytes=64_000_000 + RING_BYTES_PER_LINE * len(lines))
    return MemoryStorage()


@contextmanager
def logger_for(runtime: EmbeddedRuntime) -> Iterator[logging.Logger]:
    """A logger of `logging` that hands everything to the runtime's handler, and to no other."""
    logger = logging.getLogger("replay")
    logger.setLevel(1)
    logger.propagate = False
    logger.addHandler(runtime.handler)
    try:
        yield logger
    finally:
        logger.removeHandler(runtime.handler)


def log(logger: logging.Logger, line: Line, name: str) -> None:
    """One call of `logging`, at the time that the line names."""
    extra = {"line": line.number, "file": name}
    record = logger.makeRecord(
        logger.name, NUMBER[line.name], name, line.number, line.text, (), None, extra=extra
    )
    record.created = line.timestamp
    logger.handle(record)


def write(storage: Storage, lines: Sequence[Line], name: str) -> float:
    """Through the runtime into the storage, all stored and closed; the seconds that it took."""
    begun = time.perf_counter()
    with (
        EmbeddedRuntime(storage, log_retention=FOR_EVER, metrics_retention=FOR_EVER) as runtime,
        logger_for(runtime) as logger,
    ):
        for place, line in enumerate(lines, 1):
            log(logger, line, name)
            if place % BATCH == 0:
                runtime.flush()
        runtime.flush()
    return time.perf_counter() - begun


async def read_back(storage: Storage, lines: Sequence[Line], name: str) -> tuple[int, checks.Differences]:
    """The bytes held, and what differs."""
    async with storage:
        return await storage.logs.size(), await checks.everything(storage, lines, name)


def replay(path: Path, kind: str, lines: Sequence[Line], name: str) -> checks.Differences:
    """One file through one storage; prints a line about it."""
    with tempfile.TemporaryDirectory(prefix="obs-replay-") as folder:
        storage = storage_for(kind, Path(folder), lines)
        seconds = write(storage, lines, name)
        sizes = {each.name: each.stat().st_size for each in Path(folder).iterdir()}
        begun = time.perf_counter()
        held, wrong = asyncio.run(read_back(storage, lines, name))
        checked = time.perf_counter() - begun
    reserve = sum(size for file, size in sizes.items() if file.endswith("-reserve"))
    kept = sum(sizes.values()) - reserve or held
    where = f"bytes on disk and {reserve:,} of reserve" if sizes else "bytes in memory"
    verdict = f"{len(wrong)} DIFFER" if wrong else "the same"
    print(
        f"{name}  {kind:6}  {len(lines):,} entries  stored in {seconds:.2f} s  {kept:,} {where}"
        f" ({kept / len(lines):.0f} an entry; the file has {path.stat().st_size:,})"
        f"  read back in {checked:.2f} s: {verdict}",
        flush=True,
    )
    return wrong


def main(arguments: Sequence[str]) -> int:
    folder, kinds = Path(arguments[0]), arguments[1:]
    logging.addLevelName(NUMBER["TRACE"], "TRACE")
    logging.addLevelName(NUMBER["NOTICE"], "NOTICE")
    wrong: checks.Differences = []
    replayed = 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        lines = list(lines_of(path)) if is_text(path) else []
        if not lines:
            print(f"{name}  no lines of text, left out")
            continue
        replayed += 1
        for kind in kinds:
            wrong += [f"{name}, {kind}: {each}" for each in replay(path, kind, lines, name)]
    print("\n".join(wrong[:20]) or f"{replayed} files, nothing differs")
    return 1 if wrong or not replayed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
