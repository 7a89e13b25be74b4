"""Files that earlier releases wrote, opened by today's. `releases/make.py` tells how they were made."""

import lzma
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from obs_core import LogEntry, LogQuery, MetricMetadata, MetricQuery, MetricSample, StoredLog
from obs_storage_sqlite import SQLiteStorage
from obs_storage_sqlite._schema import VERSION

pytestmark = pytest.mark.integration
RELEASES = Path(__file__).parent / "releases"
Answers = tuple[list[StoredLog], list[MetricSample], list[MetricMetadata]]


def released(version: int, path: Path) -> Answers:
    """Put the file there; what the release that wrote it answered."""
    path.write_bytes(lzma.decompress((RELEASES / f"version-{version}.db.xz").read_bytes()))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (version,)
    answers = lzma.decompress((RELEASES / f"version-{version}.answers.xz").read_bytes())
    return msgspec.msgpack.decode(answers, type=Answers)


async def answers_of(storage: SQLiteStorage) -> Answers:
    return (
        [one async for one in storage.logs.read(LogQuery())],
        [one async for one in storage.metrics.read(MetricQuery())],
        list(await storage.metrics.metadata()),
    )


async def settle(storage: SQLiteStorage) -> None:
    while await storage.maintain():
        pass


def test_there_is_a_file_of_each_version_before_this_one():
    assert sorted(file.name for file in RELEASES.glob("*.db.xz")) == [
        f"version-{version}.db.xz" for version in range(1, VERSION)
    ]


@pytest.mark.parametrize("version", range(1, VERSION))
@pytest.mark.asyncio
async def test_a_file_that_an_older_release_wrote_answers_as_it_did(tmp_path, version):
    expected = released(version, tmp_path / "obs.db")
    assert expected[0]
    assert expected[1]
    for _ in range(2):  # as it was opened first, and sealed and opened again
        async with SQLiteStorage(tmp_path / "obs.db") as storage:
            assert await answers_of(storage) == expected
            assert await storage.verify() == []
            await settle(storage)
            assert await answers_of(storage) == expected
    with closing(sqlite3.connect(tmp_path / "obs.db")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("version", range(1, VERSION))
@pytest.mark.asyncio
async def test_what_is_written_behind_an_older_release_has_later_cursors(tmp_path, version):
    expected = released(version, tmp_path / "obs.db")
    new = [LogEntry(9e9 + n, "INFO", f"new {n}") for n in range(4000)]
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        await storage.logs.write(new)
        await settle(storage)
        logs, samples, metadata = await answers_of(storage)
        assert logs[: -len(new)] == expected[0]
        assert [one.entry for one in logs[-len(new) :]] == new
        generations = {one.cursor.rpartition("-")[0] for one in logs}
        numbers = [int(one.cursor.rpartition("-")[2]) for one in logs]
        assert len(generations) == 1
        assert numbers == sorted(set(numbers))
        assert (samples, metadata) == expected[1:]
        assert await storage.verify() == []
