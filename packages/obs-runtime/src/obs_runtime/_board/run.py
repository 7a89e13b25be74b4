"""The run of a service: one life of the server that supervises its workers.

Totals begin from zero with a new run, not whenever nobody lives: servers that replace their workers often have none
for a moment.
"""

import os
import subprocess
import sys
from multiprocessing import parent_process
from pathlib import Path
from typing import Final

from .retired import RunKey

_PROC: Final = Path("/proc")


def own_run() -> RunKey | None:
    """The server above this process, or None where there is none, as for a script or a single process."""
    pid = os.getppid()
    # uvicorn, hypercorn and granian start their workers through multiprocessing; gunicorn forks, and stays what it was,
    # but for its title where setproctitle is there.
    if parent_process() is None and not _is_fork_of(pid):
        return None
    return pid, _started(pid), _boot()


def is_alive(run: RunKey) -> bool:
    """Whether that server is seen to live; one in another pid namespace is not seen."""
    pid, started, boot = run
    return boot == _boot() and bool(started) and _started(pid) == started


def _is_fork_of(pid: int) -> bool:
    """Whether this process runs what that one runs: a fork without exec, whatever their titles are now."""
    own, its = _command(os.getpid()), _command(pid)
    if own == its:
        return True
    # A title begins with the name of the server in both, as in "gunicorn: worker [shop]".
    server = own.partition(":")[0]
    return ":" in own and " " not in server and "\0" not in server and its.startswith(f"{server}:")


def _command(pid: int) -> str:
    if not _PROC.is_dir():
        return _ps(pid, "args=")
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().decode("utf-8", "replace")
    except OSError:
        return str(pid)


def _started(pid: int) -> str:
    if not _PROC.is_dir():
        return _ps(pid, "lstart=")
    try:
        # Field 22, the ticks since boot; the name in field 2 may hold anything but ends at the last ")".
        return (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _boot() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return sys.platform


def _ps(pid: int, what: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  # a fixed command and a number
            ["/bin/ps", "-o", what, "-p", str(pid)], capture_output=True, text=True, timeout=2, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
