import sqlite3
import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

# From Python 3.12 on, no thread can be started in here.
AT_EXIT = """
import asyncio, atexit, sys
from obs_core import LogEntry
from obs_storage_sqlite import SQLiteStorage

async def write():
    async with SQLiteStorage(sys.argv[1]) as storage:
        await asyncio.gather(*(storage.logs.write([LogEntry(1.0, "INFO", f"{n}")]) for n in range(5)))
        assert await storage.maintain() in (True, False)
        assert await storage.logs.delete_before(0.0) == 0

atexit.register(lambda: asyncio.run(write()))
"""


def test_what_is_written_while_the_interpreter_ends_is_stored(tmp_path):
    path = tmp_path / "obs.db"
    process = subprocess.run(
        [sys.executable, "-c", AT_EXIT, str(path)], timeout=60, capture_output=True, text=True, check=False
    )
    assert (process.returncode, process.stderr) == (0, "")
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT sum(rows) FROM head").fetchone() == (5,)
    connection.close()
    assert not path.with_name("obs.db-wal").exists()


def test_a_file_that_cannot_be_opened_while_the_interpreter_ends_says_why(tmp_path):
    (tmp_path / "file").write_text("")
    process = subprocess.run(
        [sys.executable, "-c", AT_EXIT, str(tmp_path / "file" / "obs.db")],
        timeout=60,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "cannot be opened" in process.stderr
