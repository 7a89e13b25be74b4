"""Makes `version-N.db.xz`: a file as a release with schema version N wrote it, and what that release answered.

python3 tests/releases/make.py 1 2     (with the packages' requirements installed, in a clone with its history)

The sources are those of the last commit before the next schema version. They write through their ports, read what they
wrote, and close; nothing of today's code is run. `test_releases` opens the files with today's.
"""

import asyncio
import lzma
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SCHEMA = "packages/obs-storage-sqlite/src/obs_storage_sqlite/_schema.py"
SOURCES = ("packages/obs-core/src", "packages/obs-storage-sqlite/src")
LEVELS = ("INFO", "WARNING", "ERROR", "DEBUG")


def checked_out(version: int, folder: Path) -> None:
    """The sources of the last commit that wrote this version."""
    next_one = f"VERSION: Final = {version + 1}"
    search = ["git", "log", "-S", next_one, "--reverse", "--format=%H", "--", SCHEMA]
    top = HERE.parents[3]
    found = subprocess.run(search, cwd=top, check=True, capture_output=True, text=True).stdout.split()
    archive = subprocess.run(
        ["git", "archive", f"{found[0]}^", *SOURCES], cwd=top, check=True, capture_output=True
    )
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)


def make(version: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checked_out(version, folder)
        path = os.pathsep.join(str(folder / source) for source in SOURCES)
        command = [sys.executable, __file__, "--inside", str(folder / "obs.db")]
        answers = subprocess.run(
            command, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": path}
        ).stdout
        for ending, data in (("db", (folder / "obs.db").read_bytes()), ("answers", answers)):
            target = HERE / f"version-{version}.{ending}.xz"
            target.write_bytes(lzma.compress(data, preset=9))
            print(f"{target.name}: {target.stat().st_size:,} bytes")


async def write(path: str) -> Any:
    """Write with the release on the path; all that it then answers."""
    from obs_core import LogEntry, LogQuery, MetricMetadata, MetricQuery, MetricSample
    from obs_storage_sqlite import SQLiteStorage

    async with SQLiteStorage(path) as storage:
        # A version that seals has a block and a window, with flushes and instants behind them.
        seals = hasattr(storage, "maintain")
        count, series = (4300, 84) if seals else (400, 4)
        entries = [
            LogEntry(
                1000.0 + n / 4,
                LEVELS[n % 4],
                f"Grüße: order {n} paid",
                {"order": n, "plan": "pro"},
                f"shop.{n % 3}",
                f"{n // 5:032x}",
                f"{n:016x}",
            )
            for n in range(count)
        ]
        for start in range(0, count, 50):
            await storage.logs.write(entries[start : start + 50])
            while seals and start == 4100 and await storage.maintain():
                pass
        for n in range(250):
            await storage.metrics.write(
                [
                    MetricSample("paid_total", float(n * (k % 4)), 15.0 * n, {"shop": str(k)})
                    for k in range(series)
                ],
                [MetricMetadata("paid", "counter", "Paid orders.")],
            )
            while seals and n == 245 and await storage.maintain():
                pass
        # Retention took the oldest; and of one level more, from the middle of a block.
        await storage.logs.delete_before(1010.0)
        await storage.logs.delete_before(1020.0, level="DEBUG")
        await storage.metrics.delete_before(75.0)
    async with SQLiteStorage(path) as storage:
        return (
            [one async for one in storage.logs.read(LogQuery())],
            [one async for one in storage.metrics.read(MetricQuery())],
            list(await storage.metrics.metadata()),
        )


if __name__ == "__main__":
    if sys.argv[1] == "--inside":
        import msgspec

        sys.stdout.buffer.write(msgspec.msgpack.encode(asyncio.run(write(sys.argv[2]))))
    else:
        for one in sys.argv[1:]:
            make(int(one))
