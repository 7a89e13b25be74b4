"""Retention on a real disk."""

import subprocess
import sys

import pytest

from harness import APPLICATIONS, environment, until
from harness.history import bytes_on_disk

pytestmark = pytest.mark.e2e
MAX_BYTES = 32_000_000


def test_a_file_that_is_filled_past_its_bound_comes_back_under_it_while_it_is_written_to(tmp_path):
    env = environment({"OBS_DATA": str(tmp_path), "E2E_MAX_BYTES": str(MAX_BYTES)})
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen([sys.executable, APPLICATIONS / "filling.py"], env=env, stdout=out)
    sizes: list[int] = []

    def written() -> int:
        """How many entries of 1,000 bytes, half of which cannot be compressed away, were stored so far."""
        assert process.poll() is None
        sizes.append(bytes_on_disk(tmp_path))
        return int("0" + (tmp_path / "out").read_text().rpartition("\n")[0].rpartition("\n")[2])

    try:
        until(lambda: written() > 2 * MAX_BYTES / 1000, "more is written than fits", 90)
        until(lambda: written() and sizes[-1] < MAX_BYTES, "the file is under its bound", 60)
        under = written()
        until(lambda: written() > under + 3000, "it is written to all the while", 60)
        until(lambda: written() and sizes[-1] < MAX_BYTES, "the file is under its bound again", 60)
    finally:
        process.kill()
        process.wait()
    print(f"bound {MAX_BYTES:,}: at most {max(sizes):,} bytes on disk, {sizes[-1]:,} at the end")
