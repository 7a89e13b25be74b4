"""The shim between a process and its disk: `shim.c`, compiled when it is first needed."""

import atexit
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from harness.prometheus import program


@cache
def library() -> Path:
    """The compiled shim, in a folder that goes with this process."""
    folder = Path(tempfile.mkdtemp(prefix="obs-shim-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = folder / "shim.so"
    source = Path(__file__).with_name("shim.c")
    command = [program("gcc"), "-O2", "-shared", "-fPIC", "-o", str(target), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return target


class Disk:
    """A disk that can be made to fail, for the processes that are started with `env`."""

    def __init__(self, folder: Path, *, log: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.env = {"LD_PRELOAD": str(library()), "OBS_FAULTS": str(folder)}
        if log is not None:
            self.env["OBS_FAULTS_LOG"] = str(log)

    @contextmanager
    def failing(self, *faults: str, part: str = ".db", seconds: int = 1) -> Iterator[None]:
        """These faults are on inside, for files whose path holds `part`."""
        with self._all_at_once(faults, f"{part} {seconds}"):
            yield

    @contextmanager
    def _all_at_once(self, faults: Sequence[str], text: str) -> Iterator[None]:
        files = [self._folder / fault for fault in faults]
        for file in files:
            # Renamed, so that a fault is never on with half of its text.
            new = file.with_suffix(".new")
            new.write_text(text)
            new.rename(file)
        try:
            yield
        finally:
            for file in files:
                file.unlink(missing_ok=True)
