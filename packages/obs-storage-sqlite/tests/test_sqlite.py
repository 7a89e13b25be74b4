import logging
import os
import sqlite3

import pytest
import pytest_asyncio

from obs_core import ConfigurationError, LogEntry, LogQuery, StorageClosedError, StorageError
from obs_core.testing import DurableConformance, LogStorageConformance, MetricsStorageConformance
from obs_storage_sqlite import SQLiteStorage, _storage
from obs_storage_sqlite._reserve import SIZE as RESERVE
from obs_storage_sqlite._schema import APPLICATION_ID

pytestmark = pytest.mark.integration


class TestSQLiteStorage(LogStorageConformance, MetricsStorageConformance, DurableConformance):
    @pytest_asyncio.fixture
    async def storage(self, tmp_path):
        async with SQLiteStorage(tmp_path / "obs.db") as storage:
            yield storage

    @pytest.fixture
    def reopen(self, tmp_path):
        return lambda: SQLiteStorage(tmp_path / "obs.db")


def entries(count: int, size: int = 10) -> list[LogEntry]:
    return [LogEntry(float(n), "INFO", f"{n} {os.urandom(size).hex()}") for n in range(count)]


async def messages(storage: SQLiteStorage) -> list[str]:
    return [stored.entry.message async for stored in storage.logs.read(LogQuery())]


@pytest.mark.parametrize(("level", "expected"), [(logging.NOTSET, False), (logging.DEBUG, True)])
@pytest.mark.asyncio
async def test_the_driver_is_quiet_unless_somebody_asked_for_its_lines(tmp_path, caplog, level, expected):
    driver = logging.getLogger("aiosqlite")
    known = driver.level
    driver.setLevel(level)
    try:
        with caplog.at_level(logging.DEBUG):
            async with SQLiteStorage(tmp_path / "obs.db") as storage:
                await storage.logs.count()
        assert any(record.name == "aiosqlite" for record in caplog.records) == expected
    finally:
        driver.setLevel(known)


def test_a_constructor_opens_nothing(tmp_path):
    SQLiteStorage(tmp_path / "obs.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
async def test_before_it_is_opened_it_says_so(tmp_path):
    with pytest.raises(StorageClosedError, match="not open"):
        await SQLiteStorage(tmp_path / "obs.db").logs.write(entries(1))


@pytest.mark.asyncio
async def test_the_file_is_set_up_as_promised(tmp_path):
    path = tmp_path / "folder" / "obs.db"
    async with SQLiteStorage(path) as storage:
        await storage.logs.write(entries(1))
        files = sorted(tmp_path.glob("folder/*"))
        assert [file.name for file in files] == [
            "obs.db",
            *(f"obs.db-{end}" for end in ("lock", "reserve", "shm", "wal")),
        ]
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)
    connection.close()


@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-lock"])
@pytest.mark.asyncio
async def test_a_symbolic_link_is_refused(tmp_path, ending):
    target = tmp_path / "target"
    (tmp_path / f"obs.db{ending}").symlink_to(target)
    with pytest.raises(StorageError, match="symbolic link"):
        async with SQLiteStorage(tmp_path / "obs.db"):
            pass
    assert not target.exists()
    target.write_text("mine")
    with pytest.raises(StorageError, match="symbolic link"):
        async with SQLiteStorage(tmp_path / "obs.db"):
            pass
    assert target.read_text() == "mine"


@pytest.mark.parametrize("ending", ["", "-wal", "-lock"])
@pytest.mark.asyncio
async def test_a_file_of_another_user_is_refused_where_others_may_write(tmp_path, monkeypatch, ending):
    (tmp_path / f"obs.db{ending}").write_bytes(b"")
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    tmp_path.chmod(0o1777)
    with pytest.raises(StorageError, match="belongs to another user"):
        async with SQLiteStorage(tmp_path / "obs.db"):
            pass
    tmp_path.chmod(0o755)  # who put it there may be trusted: a shell of the administrator
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        await storage.logs.write(entries(1))


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (["CREATE TABLE users (id)"], "another application"),
        (["PRAGMA user_version=5"], "another application"),
        ([f"PRAGMA application_id={APPLICATION_ID}", "PRAGMA user_version=999"], "schema version 999"),
    ],
)
@pytest.mark.asyncio
async def test_a_strangers_or_a_newer_file_is_left_byte_for_byte(tmp_path, statements, message):
    path = tmp_path / "obs.db"
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match=message):
        async with SQLiteStorage(path):
            pass
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"no database at all, only text" * 50, bytes(range(256)) * 40])
@pytest.mark.asyncio
async def test_what_is_no_database_is_set_aside_and_never_deleted(tmp_path, content, capfd):
    path = tmp_path / "obs.db"
    path.write_bytes(content)
    async with SQLiteStorage(path) as storage:
        await storage.logs.write(entries(1))
    (aside,) = tmp_path.glob("obs.db.corrupt-*")
    assert aside.read_bytes() == content
    assert "damaged" in capfd.readouterr().err


@pytest.mark.asyncio
async def test_half_a_file_is_set_aside_and_after_three_we_refuse(tmp_path):
    path = tmp_path / "obs.db"
    for _ in range(3):
        async with SQLiteStorage(path) as storage:
            await storage.logs.write(entries(500, 100))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        async with SQLiteStorage(path) as storage:
            assert await messages(storage) == []
    path.write_bytes(b"x" * 5000)
    with pytest.raises(StorageError, match="check the disk"):
        async with SQLiteStorage(path):
            pass
    assert path.read_bytes() == b"x" * 5000


@pytest.mark.asyncio
async def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be opened"):
        async with SQLiteStorage(tmp_path / "file" / "obs.db"):
            pass


@pytest.mark.asyncio
async def test_a_newer_release_that_upgrades_the_file_stops_our_writes(tmp_path):
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path) as storage:
        await storage.logs.write(entries(1))
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version=4")
        connection.close()
        with pytest.raises(StorageError, match="schema version 4 now"):
            await storage.logs.write(entries(1))
        assert len(await messages(storage)) == 1


@pytest.mark.asyncio
async def test_a_flipped_bit_costs_its_own_block_and_is_counted(tmp_path, capfd):
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path) as storage:
        for batch in range(3):
            await storage.logs.write([LogEntry(1.0, "INFO", f"{batch}")])
        connection = sqlite3.connect(path)
        connection.execute("UPDATE head SET data = zeroblob(20) WHERE id = 2")
        connection.commit()
        connection.close()
        assert await messages(storage) == ["0", "2"]
        assert storage.logs.damage.count == 1
    assert "the block of cursor 2 is damaged" in capfd.readouterr().err


@pytest.mark.asyncio
async def test_a_file_past_its_bound_comes_back_under_it_on_disk(tmp_path):
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        for _ in range(20):
            await storage.logs.write(entries(1000, 300))
        full = await storage.size()
        await storage.logs.shrink(2_000_000)
        assert await storage.logs.size() <= 2_000_000
        assert await storage.size() - RESERVE < 3_500_000 < full - RESERVE


@pytest.mark.asyncio
async def test_a_file_that_was_removed_is_noticed_and_begun_again(tmp_path, capfd):
    path = tmp_path / "obs.db"
    async with SQLiteStorage(path) as storage:
        await storage.logs.write(entries(1))
        for ending in ("", "-wal", "-shm"):
            (tmp_path / f"obs.db{ending}").unlink()
        await storage.logs.write(entries(2))
        assert len(await messages(storage)) == 2
    assert path.exists()
    assert capfd.readouterr().err == f"obs: {path} was removed or replaced: a new file takes its place\n"


@pytest.mark.asyncio
async def test_a_reader_is_answered_in_time_where_the_file_does_not_answer(tmp_path, monkeypatch):
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 2000000) SELECT count(*) FROM n"
    async with SQLiteStorage(tmp_path / "obs.db") as storage:
        await storage.logs.write(entries(1))
        with monkeypatch.context() as patched:
            patched.setattr(_storage, "_PATIENCE", 0.01)
            with pytest.raises(StorageError, match="could not be read within"):
                await storage.fetch(endless, ())
        assert len(await messages(storage)) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (5, "a storage is a file"),
        (":memory:", "MemoryStorage"),
        ("", "MemoryStorage"),
        ("sqlite:///obs.db", "by its path"),
        ("file:obs.db?mode=ro", "by its path"),
    ],
)
def test_what_is_no_path_is_refused_when_it_is_given(given, said):
    with pytest.raises(ConfigurationError, match=said):
        SQLiteStorage(given)


@pytest.mark.asyncio
async def test_a_folder_in_the_place_of_the_file_is_called_one(tmp_path):
    with pytest.raises(StorageError, match="is a folder: name a file"):
        async with SQLiteStorage(tmp_path):
            pass
