"""What happens to the files of a service that runs: removed, replaced, cut, damaged, held by one that stands still."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from harness.history import stored_logs
from harness.load import Scraper
from harness.page import metrics_of
from harness.prometheus import not_here
from harness.service import Service
from harness.waiting import until
from obs_core import LogQuery

from .figures import Figures, holds
from .outages import NOISE, WITHIN, said, slug, start
from .shim import Disk

_HOLD = """
import os, signal, sqlite3, sys, time
from pathlib import Path
from obs_storage_sqlite._gate import Gate
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
with Gate(Path(sys.argv[1] + "-lock")).held(10):
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
            break
        except sqlite3.OperationalError:
            time.sleep(0.001)
    print("held", flush=True)
    time.sleep(600)
"""


def _elsewhere(path: Path, code: str) -> None:
    """From another process: to close the file in this one would let go of nothing of the service's, but be sure."""
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=60)


def file_removed(path: Path) -> None:
    path.unlink()


def file_and_journal_removed(path: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)


def file_replaced_by_an_older_copy(path: Path) -> None:
    code = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).backup(sqlite3.connect(sys.argv[1] + '.copy'))"
    _elsewhere(path, code)
    Path(f"{path}.copy").rename(path)


def journal_removed(path: Path) -> None:
    Path(f"{path}-wal").unlink()


def shared_memory_removed(path: Path) -> None:
    Path(f"{path}-shm").unlink()


def journal_emptied(path: Path) -> None:
    os.truncate(f"{path}-wal", 0)


def gate_removed(path: Path) -> None:
    Path(f"{path}-lock").unlink()


def board_removed(path: Path) -> None:
    shutil.rmtree(f"{path}-live")


def pages_overwritten(path: Path) -> None:
    code = "import sys; open(sys.argv[1], 'r+b').write(b'no database' * 4000)"
    _elsewhere(path, code)


CASES: tuple[Callable[[Path], None], ...] = (
    gate_removed,
    shared_memory_removed,
    file_replaced_by_an_older_copy,
    file_removed,
    file_and_journal_removed,
    journal_removed,
    journal_emptied,
    pages_overwritten,
    board_removed,
)


def files_of_a_service(folder: Path, rounds: int, workers: int = 1) -> Figures:
    """Each of them, so many times, on one service that goes on being asked."""
    figures: Figures = {}
    with ExitStack() as stack:
        service = start(stack, folder, Disk(folder / "faults"), workers)
        path = folder / "data" / "obs.db"
        for number in range(rounds):
            for case in CASES:
                name = case.__name__.replace("_", " ")
                is_read_after(service, f"before {name} {number}")
                case(path)
                figures[f"{name}: read again after"] = is_read_after(service, f"after {name} {number}")
                _make_room(path)
        sent = service.get("/sent").json()["lines"]
        # A worker whose file on the board was removed makes it again within a second.
        until(lambda: service.metrics().total("obs_log_entries_total") >= sent, "everything is counted", 10)
        service.server.stop()
        aside = len(said(service.server.output))
    last = f"mark {slug(f'after {name} {number}')}"
    found = [one.entry.message for one in stored_logs(folder / "data", LogQuery(text=last))]
    holds(set(found) == {last}, "another process does not find what the service wrote last")
    return {**figures, "lines on stderr": str(aside)}


def is_read_after(service: Service, name: str) -> str:
    """Requests go on, and what is logged is read; the seconds until then.

    What is logged before damage is noticed may be set aside with it: so something is logged again and again.
    """
    begun = time.monotonic()
    while True:
        for _ in range(5):
            status = service.get("/log/20").status_code
            holds(status == 200, f"{name}: a request was answered with {status}")
        service.get(f"/urgent/{slug(name)}")
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            found = service.get(f"/logs?q=mark+{slug(name)}", **service.headers)
            if found.status_code == 200 and found.text:
                return f"{time.monotonic() - begun:.1f} s"
            time.sleep(0.05)
        holds(
            time.monotonic() < begun + WITHIN + NOISE, f"{name}: nothing is read after {WITHIN + NOISE:g} s"
        )


def _make_room(path: Path) -> None:
    """After three files that were set aside a storage refuses; here each case is for itself."""
    for aside in path.parent.glob("obs.db.corrupt-*"):
        aside.unlink()


def starts_in_any_case(folder: Path, seconds: float) -> Figures:
    """Another application's file is in its place: memory stands in for the history, and the file stays what it is."""
    data = folder / "data"
    data.mkdir(mode=0o700)
    path = data / "obs.db"
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE users (name); INSERT INTO users VALUES ('ada');")
    connection.close()
    before = path.read_bytes()
    with ExitStack() as stack:
        service = start(stack, folder, Disk(folder / "faults"))
        again = is_read_after(service, "in memory")
        answers = _ask_for(service, seconds)
        degraded = service.metrics().total("obs_storage_degraded")
        service.server.stop()
        lines = said(service.server.output)
    holds(degraded == 1, "metrics do not say that history is degraded")
    holds(path.read_bytes() == before, "the other application's file was changed")
    told = [line for line in lines if "belongs to another application" in line]
    holds(len(told) == 2, f"one clear line at the start, one at the end: {lines}")
    holds("kept in memory" in told[0] and "lost at the end" in told[1], f"two clear lines: {told}")
    return {
        "read from memory after": again,
        "answers meanwhile": str(answers),
        "lines on stderr": str(len(lines)),
    }


def lock_holder_stands_still(folder: Path, seconds: float) -> Figures:
    """Another process is stopped in the middle of a commit, and killed after so many seconds."""
    with ExitStack() as stack:
        service = start(stack, folder, Disk(folder / "faults"))
        path = folder / "data" / "obs.db"
        is_read_after(service, "before")
        holder = subprocess.Popen([sys.executable, "-c", _HOLD, str(path)], stdout=subprocess.PIPE, text=True)
        try:
            holds(holder.stdout is not None and holder.stdout.readline() == "held\n", "nothing is held")
            holder.send_signal(signal.SIGSTOP)
            answers = _ask_for(service, seconds)
        finally:
            holder.kill()
            holder.communicate()
        again = is_read_after(service, "after")
        sent = service.get("/sent").json()["lines"]
        service.server.stop()
    stored = [one.entry.message for one in stored_logs(folder / "data", LogQuery(logger="faulty"))]
    lines = [message for message in stored if not message.startswith("mark")]
    holds(len(lines) == len(set(lines)) == sent, f"{sent} lines were sent, {len(lines)} are stored")
    return {"read again after": again, "answers meanwhile": str(answers), "lines, all stored once": str(sent)}


def _ask_for(service: Service, seconds: float) -> int:
    end, answers = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for page in ("/log/20", "/metrics", "/logs?limit=5"):
            status = service.get(page, **service.headers).status_code
            holds(status == 200, f"{page} was answered with {status}")
            answers += 1
    return answers


def real_disk_full(folder: Path, seconds: float) -> Figures:
    """A file system of 64 MB in memory, filled to its last byte under a service, again and again."""
    with ExitStack() as stack:
        data = stack.enter_context(small_disk(folder / "data", 64))
        service = start(stack, folder, Disk(folder / "faults"))
        for number in range(8):
            service.get("/log/4000")
            is_read_after(service, f"before {number}")
        ballast = data / "ballast"
        answers = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            # Whatever is given up, the reserve too, somebody else takes.
            _fill(ballast)
            answers += _ask_for(service, 0.5)
        free = os.statvfs(data)
        seen = service.metrics()
        ballast.unlink()
        again = is_read_after(service, "after")
        service.server.stop()
        with closing(sqlite3.connect(data / "obs.db")) as connection:
            (whole,) = connection.execute("PRAGMA integrity_check").fetchone()
        holds(whole == "ok", f"integrity_check: {whole}")
        left = len(stored_logs(data, LogQuery(logger="faulty", limit=None)))
        lines = said(service.server.output)
        holds(len(lines) <= 2, f"more than a line a minute of each kind: {lines}")
    return {
        "answers meanwhile": str(answers),
        "free bytes at its end": str(free.f_bavail * free.f_frsize),
        "degraded at its end": f"{seen.total('obs_storage_degraded'):.0f}",
        "read again after": again,
        "entries at the end": str(left),
        "lines on stderr": str(len(lines)),
    }


def starts_on_a_read_only_disk(folder: Path, seconds: float) -> Figures:
    """A real file system that may only be read, with what an earlier service left on it, until it is mounted anew.

    The kernel refuses to make it so under a service that has files open for writing; `outages` does that by a shim.
    """
    with ExitStack() as stack:
        data = stack.enter_context(small_disk(folder / "data", 64))
        earlier = start(stack, folder, Disk(folder / "faults"))
        is_read_after(earlier, "earlier")
        earlier.server.stop()
        _mount_anew(data, "ro")
        service = start(stack, folder, Disk(folder / "faults"))
        answers: Counter[int] = Counter()
        with Scraper(service, pause=0.02) as scraper:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                holds(service.get("/log/20").status_code == 200, "a request failed")
                answers[service.read("/metrics", patience=0).status_code] += 1
            _mount_anew(data, "rw")
            sent, begun = service.get("/sent").json()["lines"], time.monotonic()
            until(lambda: _counted(service) >= sent, "the board is written again", WITHIN + NOISE)
            again = time.monotonic() - begun
        until(lambda: not service.metrics().total("obs_storage_degraded"), "history is written again", 30)
        service.server.stop()
        holds(set(answers) <= {200, 503}, f"metrics were answered with {answers}")
        holds(not scraper.fell, f"totals fell: {scraper.fell[:3]}")
        stored = {one.entry.message for one in stored_logs(data, LogQuery(logger="faulty"))}
        holds(
            sum(one.startswith(("line ", "error ")) for one in stored) >= sent,
            "not all of memory was written",
        )
    return {
        "answers of /metrics meanwhile": ", ".join(f"{status}: {count}" for status, count in answers.items()),
        "metrics again after": f"{again:.1f} s",
    }


def _counted(service: Service) -> float:
    page = service.read("/metrics", patience=0)
    return metrics_of(page.text).total("obs_log_entries_total") if page.status_code == 200 else -1.0


def _mount_anew(folder: Path, how: str) -> None:
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    holds(_done([*sudo, "mount", "-o", f"remount,{how}", str(folder)]), f"{folder} is not mounted {how}")


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own, for which root is needed, or sudo without a password."""
    folder.mkdir(parents=True, exist_ok=True)
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    owner = f"uid={os.geteuid()},gid={os.getegid()},mode=0700"
    mount = [*sudo, "mount", "-t", "tmpfs", "-o", f"size={megabytes}m,{owner}", "obs-faults", str(folder)]
    if not _done(mount):
        not_here("a file system of its own: run it as root")
    try:
        yield folder
    finally:
        holds(_done([*sudo, "umount", "--lazy", str(folder)]), f"{folder} is still mounted")


def _done(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0
    except FileNotFoundError:
        return False


def _fill(ballast: Path) -> None:
    """Take all the room there is."""
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
