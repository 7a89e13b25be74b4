"""A running service whose disk fails: full, broken, slow; each switched on and off again."""

import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from harness.history import stored_logs
from harness.load import Scraper
from harness.places import APPLICATIONS
from harness.service import Service
from harness.starting import Starter
from obs_core import LogQuery

from .figures import Figures, holds
from .shim import Disk

COMMAND = "uvicorn faulty:app --port {port} --log-level warning"
# Writing goes on so soon after the disk works again; the rest is for a busy machine.
WITHIN, NOISE = 5.0, 5.0


@dataclass(frozen=True)
class Outage:
    """Faults, the files that have them, and which of our own pages may say 503 meanwhile."""

    name: str
    faults: tuple[str, ...]
    part: str = ".db"
    metrics_may_fail: bool = False
    logs_may_fail: bool = False


OUTAGES = (
    Outage("disk full", ("enospc",)),
    Outage("no writing, journal", ("eio",), "-wal$"),
    Outage("no writing, database", ("eio",), "obs.db$"),
    Outage("no syncing", ("synceio",)),
    Outage("syncing takes 3 s", ("slowsync",)),
    Outage("board full", ("enospc",), "-live/"),
    # What cannot be shown to the others is not shown at all, or totals would fall at the next worker.
    Outage("no writing, board", ("eio",), "-live/", metrics_may_fail=True),
    Outage("disk read-only", ("readonly",), metrics_may_fail=True),
    Outage("no locks", ("nolocks",), logs_may_fail=True),
)


def start(stack: ExitStack, folder: Path, disk: Disk, workers: int = 1) -> Service:
    folder.mkdir(parents=True, exist_ok=True)
    return Starter(stack, folder, disk.env).command(f"{COMMAND} --workers {workers}", cwd=APPLICATIONS)


def outages(folder: Path, seconds: float) -> Figures:
    """Each outage for so many seconds, one after the other on each of two services."""
    halves = OUTAGES[::2], OUTAGES[1::2]
    with ThreadPoolExecutor(2) as pool:
        runs = pool.map(
            _outages, (folder / str(half) for half in range(2)), (seconds, seconds), halves, range(2)
        )
    return {name: figure for figures in runs for name, figure in figures.items()}


def _outages(folder: Path, seconds: float, chosen: tuple[Outage, ...], half: int) -> Figures:
    figures: Figures = {}
    disk = Disk(folder / "faults")
    begun = time.monotonic()
    with ExitStack() as stack:
        service = start(stack, folder, disk)
        # Before it is open memory would stand in for it.
        seconds_until_written(service, "before", "urgent")
        with Scraper(service, pause=0.02) as scraper:
            for outage in chosen:
                figures[f"{outage.name}: written again after"] = _go_through(service, disk, outage, seconds)
        holds(not scraper.fell, f"totals fell: {scraper.fell[:3]}")
        figures[f"scrapes of service {half + 1}, none lower"] = str(scraper.scrapes)
        sent = service.get("/sent").json()
        service.server.stop()
        lines = said(service.server.output)
    minutes = 1 + (time.monotonic() - begun) // 60
    holds(len(lines) <= 1 + minutes, f"more than a line a minute: {lines}")
    figures[f"lines on stderr of service {half + 1}"] = f"{len(lines)} in {minutes:.0f} min"
    stored = Counter(one.entry.message for one in stored_logs(folder / "data", LogQuery()))
    twice = [message for message, count in stored.items() if count > 1]
    holds(not twice, f"stored twice: {twice[:3]}")
    expected = sent["lines"]
    found = sum(message.startswith(("line ", "error ")) for message in stored)
    holds(found == expected, f"{expected} lines were sent and {found} are stored")
    figures[f"lines sent to service {half + 1}, all stored once"] = str(expected)
    return figures


def _go_through(service: Service, disk: Disk, outage: Outage, seconds: float) -> str:
    with disk.failing(*outage.faults, part=outage.part, seconds=3):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            answers = {
                "a request": service.get("/log/100").status_code,
                "/metrics": service.get("/metrics", **service.headers).status_code,
                "/logs": service.get("/logs?limit=5", **service.headers).status_code,
            }
            _are_right(outage, answers)
            time.sleep(0.1)
    return f"{seconds_until_written(service, outage.name):.1f} s"


def _are_right(outage: Outage, answers: dict[str, int]) -> None:
    excused = {"/metrics": outage.metrics_may_fail, "/logs": outage.logs_may_fail}
    for page, status in answers.items():
        allowed = (200, 503) if excused.get(page) else (200,)
        holds(status in allowed, f"{outage.name}: {page} was answered with {status}")


def slug(name: str) -> str:
    return re.sub(r"\W+", "-", name)


def seconds_until_written(service: Service, name: str, kind: str = "mark") -> float:
    """How long it takes until what is logged now can be read. What is `urgent` is written at once."""
    name, begun = slug(name), time.monotonic()
    service.get(f"/{kind}/{name}")
    while time.monotonic() < begun + WITHIN + NOISE:
        found = service.get(f"/logs?q=mark+{name}", **service.headers)
        if found.status_code == 200 and found.text:
            return time.monotonic() - begun
        time.sleep(0.05)
    holds(False, f"{name}: not written {WITHIN + NOISE:g} s after the disk works again")
    return 0.0


def said(output: str) -> list[str]:
    """The lines of ours on stderr, but for that of the start."""
    return [
        line for line in output.splitlines() if line.startswith("obs: ") and "needs the token" not in line
    ]


def flood(folder: Path, lines: int) -> Figures:
    """More lines than the queue holds, while nothing can be written."""
    disk = Disk(folder / "faults")
    with ExitStack() as stack:
        service = start(stack, folder, disk)
        service.get("/log/100")
        seconds_until_written(service, "before")
        before = resident(service.server.pid)
        with disk.failing("enospc", "eio", part=".db"):
            for _ in range(lines // 10_000):
                holds(service.get("/log/10000").status_code == 200, "a request failed")
            grown = resident(service.server.pid) - before
        seconds = seconds_until_written(service, "after")
        page, sent = service.metrics(), service.get("/sent").json()
        service.server.stop()
    dropped = page.values("obs_log_entries_dropped_total", "reason")
    stored = [one.entry for one in stored_logs(folder / "data", LogQuery())]
    errors = sum(entry.level == "ERROR" for entry in stored)
    kept = sum(entry.logger == "faulty" and not entry.message.startswith("mark") for entry in stored)
    lost = sum(dropped.values())
    holds(grown < 250_000_000, f"memory grew by {grown / 1e6:.0f} MB")
    holds(dropped["storage"] > 0, f"drops are not counted as the storage's: {dropped}")
    holds(errors == sent["errors"], f"of {sent['errors']} errors {errors} are stored")
    holds(kept + lost == sent["lines"], f"{sent['lines']} sent, {kept} stored, {lost} counted as dropped")
    return {
        "lines sent": str(sent["lines"]),
        "stored": str(kept),
        "counted as dropped": f"{lost:.0f}",
        "ERROR lines, all stored": str(errors),
        "memory grew by": f"{grown / 1e6:.0f} MB",
        "written again after": f"{seconds:.1f} s",
    }


def resident(pid: int) -> int:
    """Resident memory in bytes."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found.group(1)) * 1024 if found else 0
