"""A rolling restart: two releases of a service on one database at once, which disagree about their metrics."""

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import APPLICATIONS, Load, Scraper, until

pytestmark = pytest.mark.e2e
# What the releases disagree about: the old kind goes, and so does the bound that one of them lacks.
GOES = ("kind_total", 'sized_bucket{le="2.0"}')
COMMAND = "uvicorn released:app --workers 2 --port {port} --log-level warning"


def release(start, which):
    return start.command(COMMAND, cwd=APPLICATIONS, E2E_RELEASE=which)


def test_two_releases_at_once_agree_on_what_they_share_and_no_total_falls(start):
    old = release(start, "old")
    assert old.get("/place/0").status_code == 200
    with Scraper(old, ignore=GOES) as before:
        first = Load(old, 300).finish()
        new = release(start, "new")
        with Scraper(new, ignore=GOES) as after:
            second = Load(new, 300).finish()
            third = Load(old, 100).finish()
            placed = 1 + sum(len(sent.answered) for sent in (first, second, third))
            counted = lambda: new.metrics().total("same_total") == placed  # noqa: E731
            until(counted, "both releases are counted", 10)
            old.server.stop()
            until(counted, "and are when the old one is folded", 10)
    assert first.failed + second.failed + third.failed == 0
    assert (before.fell, after.fell) == ([], [])

    page = new.metrics()
    assert page.total("helped_total") == placed
    assert page.total("labelled_total", plan="pro") == placed
    assert page.total("labelled_total", region="eu") == len(second.answered)
    assert page.total("sized_count") == placed
    bounds = set(page.values("sized_bucket", "le"))
    assert bounds == {"1.0", "4.0", "+Inf"}, "histograms are summed over the bounds that both have"
    assert page.total("obs_metric_conflicts_total", metric="kind") >= 1
    text = new.exposition()
    assert "# HELP helped_total Said better now.\n" in text
    assert "# TYPE kind gauge\n" in text, "of two kinds the newest start wins"


# What the next release does to the file, as any may: another version, and a table under another name.
NEXT = """
def begin_upgrade(connection, version):
    connection.execute("ALTER TABLE head RENAME TO flushes")
    connection.execute(f"PRAGMA user_version={VERSION}")
"""
OPEN = """
import asyncio, sys
from obs_storage_sqlite import SQLiteStorage
asyncio.run(SQLiteStorage(sys.argv[1]).__aenter__())
"""


def next_release(folder: Path) -> None:
    """The installed storage, with a newer schema."""
    (installed,) = importlib.util.find_spec("obs_storage_sqlite").submodule_search_locations
    package = folder / "obs_storage_sqlite"
    shutil.copytree(installed, package)
    schema = package / "_schema.py"
    now = importlib.import_module("obs_storage_sqlite._schema").VERSION
    text = schema.read_text()
    assert f"\nVERSION: Final = {now}\n" in text
    schema.write_text(text.replace(f"\nVERSION: Final = {now}\n", f"\nVERSION: Final = {now + 1}\n"))
    with (package / "_migration.py").open("a") as migration:
        migration.write(NEXT)


def test_a_release_whose_file_is_upgraded_under_it_stops_its_history_says_so_and_serves_on(start, tmp_path):
    service = release(start, "old")
    assert service.get("/place/0").status_code == 200
    assert service.read("/logs").status_code == 200

    next_release(tmp_path / "next")
    subprocess.run(
        [sys.executable, "-c", OPEN, str(start.data / "obs.db")],
        check=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "next")},
    )

    until(lambda: "this release knows" in service.server.output, "it is said", 30)
    assert [service.get(f"/place/{n}").status_code for n in range(20)] == [200] * 20
    until(lambda: service.metrics().total("same_total") == 21, "metrics are counted on", 10)
    refused = service.get("/logs", **service.headers)
    assert refused.status_code == 503
    assert "no such table" not in refused.text + service.server.output
