"""A wall clock that tests set, for processes that are started with it; the monotonic clock goes on as ever."""

import os
from pathlib import Path

import pytest

_LIBRARY = "libfaketime.so.1"


class Clock:
    """Goes with the machine's until it is set; a service has it with `env`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set("+0")
        self.env = {
            "LD_PRELOAD": _library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, offset: str) -> None:
        """By so much before or after the machine's from now on, as in "-1d"."""
        new = self._file.with_suffix(".new")
        new.write_text(offset)
        new.replace(self._file)


def _library() -> str:
    """Where it is. Without it the test is skipped, in CI failed: `tools/dev.py` installs it."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if (path := Path(folder) / _LIBRARY).exists():
            return str(path)
    message = f"{_LIBRARY} is not on the path"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
