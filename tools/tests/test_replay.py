"""`dev.py replay` on log files of every format that it knows, and on a storage that is broken on purpose."""

import os
import subprocess
import sys

import pytest
from replay import lines
from workspace import BUILD, TOP, python_of

DEV = str(TOP / "tools" / "dev.py")
SAMPLES = {
    "[Sun Dec 04 04:47:44 2005] [error] mod_jk child in error state 6": (
        "ERROR",
        "2005-12-04T04:47:44+00:00",
    ),
    "[Sun Dec 04 04:47:44 2005] [notice] workerEnv.init() ok": ("NOTICE", "2005-12-04T04:47:44+00:00"),
    "081109 203615 148 INFO dfs.DataNode: terminating": ("INFO", "2008-11-09T20:36:15+00:00"),
    "Jun 14 15:16:01 combo sshd[19939]: authentication failure": ("INFO", "2024-06-14T15:16:01+00:00"),
    "nova.log.2017-05-16_13:53:08 2017-05-16 00:00:00.008 25746 WARNING nova.compute": (
        "WARNING",
        "2017-05-16T00:00:00.008+00:00",
    ),
    "17/06/09 20:10:40 WARN spark.SecurityManager: Changing view": ("WARNING", "2017-06-09T20:10:40+00:00"),
    '127.0.0.1 - - [25/Nov/2026:01:02:03 +0100] "GET / HTTP/1.1" 200 5': (
        "INFO",
        "2026-11-25T00:02:03+00:00",
    ),
    "2026/11/25 01:02:03 [crit] 7#7: *1 open() failed": ("CRITICAL", "2026-11-25T01:02:03+00:00"),
    "ts=2026-11-25T01:02:03.500Z caller=main.go:1 level=debug msg=x": (
        "DEBUG",
        "2026-11-25T01:02:03.5+00:00",
    ),
    '{"ts":"2026-11-25T01:02:03Z","level":"fatal","msg":"x"}': ("CRITICAL", "2026-11-25T01:02:03+00:00"),
    "[2026-11-25 01:02:03 +0000] [123] [INFO] Booting worker": ("INFO", "2026-11-25T01:02:03+00:00"),
}
SABOTAGE = """
import sys
from obs_core import MemoryStorage
from replay import inside
keep = MemoryStorage().logs.__class__.write
async def lose(self, entries):
    await keep(self, [entry for entry in entries if entry.attributes["line"] != 7])
MemoryStorage().logs.__class__.write = lose
sys.exit(inside.main([sys.argv[1], "memory"]))
"""


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.log").write_bytes(text.encode("utf-8", "surrogateescape"))


def run(*command, **env):
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env={**os.environ, **env}
    )


@pytest.mark.unit
@pytest.mark.parametrize("text", SAMPLES)
def test_level_and_time_are_read_from_each_known_format(text):
    level, moment = SAMPLES[text]
    assert lines.level_of(text) == level
    assert lines.time_of(text) == lines.datetime.fromisoformat(moment).timestamp()


@pytest.mark.unit
def test_a_line_without_a_time_has_that_of_the_line_before(tmp_path):
    (tmp_path / "x").write_text(
        "no time yet\n2026-11-25 01:02:03 ERROR failed\n  File shop.py\n2026-13-45 00:00:00 x\n"
    )
    found = list(lines.lines_of(tmp_path / "x"))
    assert [line.timestamp for line in found] == [
        0.0,
        found[1].timestamp,
        found[1].timestamp,
        found[1].timestamp,
    ]
    assert [line.name for line in found] == ["INFO", "ERROR", "INFO", "INFO"]


@pytest.mark.integration
def test_a_folder_goes_through_every_storage_and_comes_back_the_same(tmp_path):
    write(
        tmp_path,
        formats="\n".join(SAMPLES) * 3,
        strange="ends with a return\r\n\n\u2028 \x1b[31m \udcff é İ ß 100%s %d\nBasic dXNlcjpwYXNz https://u:p@host/",
        binary="\0\1\2",
        empty="",
    )
    done = run(sys.executable, DEV, "replay", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("the same") == 6
    assert "2 files, nothing differs" in done.stdout
    assert "binary.log  no lines of text" in done.stdout


@pytest.mark.integration
def test_an_entry_that_is_lost_is_found_out(tmp_path):
    write(tmp_path, numbers="".join(f"line {number}\n" for number in range(40)))
    assert run(sys.executable, DEV, "replay", str(tmp_path), "--storage", "memory").returncode == 0
    python = str(python_of(BUILD / "replay"))
    done = run(python, "-c", SABOTAGE, str(tmp_path), PYTHONPATH=str(TOP / "tools"))
    assert done.returncode == 1
    assert "count of all: 39, plain Python counts 40" in done.stdout
    assert "attribute line=7: 0 entries, plain Python has 1" in done.stdout


@pytest.mark.integration
def test_a_folder_without_log_files_is_no_success(tmp_path):
    assert run(sys.executable, DEV, "replay", str(tmp_path)).returncode == 1
