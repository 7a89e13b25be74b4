"""Work in forked children that may die, told from a process that stays clean: it opens no storage of its own.

A module that runs such work is started with the shim, and prints its counts: `python -m faults.NAME FOLDER COUNT SEED`.
"""

import asyncio
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.places import TOP, environment

from .figures import BrokenPromiseError, Figures
from .shim import Disk

# A child that hangs is a failure, not a run without an end.
DEADLINE = 120


def fail_at(change: int, error: int = 0) -> None:
    """Have the change of this number, counted from now, fail with `error`; with 0 the process is killed there."""
    ctypes.CDLL(None).fail_at(ctypes.c_long(change), error)


def changes() -> int:
    """How many changes of files there were since `fail_at`."""
    function = ctypes.CDLL(None).changed
    function.restype = ctypes.c_long
    return int(function())


def child(seconds: float, work: Callable[..., object], *values: object) -> bool:
    """Run it in a child, which is killed after so many seconds; whether it came to its end.

    Raises `BrokenPromiseError` with what the child raised.
    """
    return _run(seconds, work, values)[0] == 0


def child_result(work: Callable[..., object], *values: object) -> int:
    """Run it in a child; the number that it gives, or 0.

    Raises `BrokenPromiseError` with what it raised, or where it does not end.
    """
    status, said = _run(DEADLINE, work, values)
    if status:
        raise BrokenPromiseError(f"a child ended with {status}, after {DEADLINE} s at most")
    return int(said)


def _run(seconds: float, work: Callable[..., object], values: Sequence[object]) -> tuple[int, str]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _be_child(work, values, writing)
    os.close(writing)
    status = _wait(pid, seconds)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    if said.startswith("Traceback"):
        raise BrokenPromiseError(said)
    return status, said


def _be_child(work: Callable[..., object], values: Sequence[object], writing: int) -> None:
    status = 0
    try:
        result = work(*values)
        if asyncio.iscoroutine(result):
            result = asyncio.run(result)
        os.write(writing, str(result or 0).encode())
    except BaseException:  # told to the parent
        os.write(writing, traceback.format_exc()[-4000:].encode())
        status = 1
    finally:
        os._exit(status)


def _wait(pid: int, seconds: float) -> int:
    """Its status; after so many seconds it is killed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def start(
    module: str, folder: Path, *arguments: object, env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """`python -m faults.MODULE FOLDER ARGUMENTS`, with the shim where `env` says so."""
    return subprocess.Popen(
        [sys.executable, "-m", f"faults.{module}", str(folder), *map(str, arguments)],
        env=environment({"PYTHONPATH": str(TOP / "tests-e2e"), **(env or {})}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str], seconds: float) -> dict[str, int]:
    """The counts that it printed. Raises `BrokenPromiseError` where it failed."""
    try:
        output, error = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output, error = process.communicate()
        raise BrokenPromiseError(f"{process.args!r} did not end in {seconds:g} s: {error[-3000:]}") from None
    if process.returncode:
        raise BrokenPromiseError(f"{output[-2000:]}{error[-6000:]}")
    counts: dict[str, int] = json.loads(output.splitlines()[-1])
    return counts


def in_lanes(module: str, folder: Path, count: int, *more: str, lanes: int = 2) -> Figures:
    """The work of a module in so many processes at once, each with its share and its folder; counts added up."""
    disks = [Disk(folder / f"faults-{lane}") for lane in range(lanes)]

    def run(lane: int) -> dict[str, int]:
        share = count // lanes + (lane < count % lanes)
        (folder / str(lane)).mkdir(parents=True, exist_ok=True)
        process = start(module, folder / str(lane), share, lane + 1, *more, env=disks[lane].env)
        return finished(process, DEADLINE + 5 * count)

    with ThreadPoolExecutor(lanes) as pool:
        results = list(pool.map(run, range(lanes)))
    names = dict.fromkeys(name for result in results for name in result)
    return {name: str(sum(result.get(name, 0) for result in results)) for name in names}
