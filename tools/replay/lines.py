"""The lines of a log file, with the time and the level that they name; plain Python, nothing of ours."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

# A longer line would be cut on the way in, at a length that depends on its attributes.
LONGEST = 60_000
HEAD = 150
SEVERITY = {"TRACE": 1, "DEBUG": 5, "INFO": 9, "WARNING": 13, "ERROR": 17, "CRITICAL": 21}
# Names that are no level of ours: the number that they have in `logging`, and the level that they mean.
NUMBER = {"TRACE": 5, "DEBUG": 10, "INFO": 20, "NOTICE": 25, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
ALIASES = {
    "WARN": "WARNING",
    "ERR": "ERROR",
    "FATAL": "CRITICAL",
    "CRIT": "CRITICAL",
    "ALERT": "CRITICAL",
    "EMERG": "CRITICAL",
    "PANIC": "CRITICAL",
}
LEVEL = re.compile(
    r"\b(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)\b"
    r"|\[(trace|debug|info|notice|warn|error|crit|alert|emerg)\]"
    r"|\blevel=\"?([A-Za-z]+)"
    r"|\"level\": ?\"([A-Za-z]+)\""
)
SECRET = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}|(?<=://)([^\s/:@]*):[^\s/@]+(?=@)")
CLOCK = r"\d\d:\d\d:\d\d"


class Line(NamedTuple):
    """A line as it is logged; `number` counts from 1."""

    number: int
    timestamp: float
    name: str
    text: str

    @property
    def level(self) -> str:
        """The level that it is stored with: another name is mapped down to the nearest."""
        return "INFO" if self.name == "NOTICE" else self.name

    @property
    def message(self) -> str:
        """What is stored of it: what looks like a credential is not."""
        return SECRET.sub(lambda match: f"{match[1]} ***" if match[1] else f"{match[2]}:***", self.text)


def _by(form: str) -> Callable[[str], datetime]:
    return lambda text: datetime.strptime(text, form)  # noqa: DTZ007  # the zone is added where there is none


def _syslog(text: str) -> datetime:
    # No year is written; one with a 29th of February holds every date.
    return datetime.strptime(f"2024 {text}", "%Y %b %d %H:%M:%S")  # noqa: DTZ007


TIMES: tuple[tuple[re.Pattern[str], Callable[[str], datetime]], ...] = (
    (re.compile(rf"\d{{4}}-\d\d-\d\d[T ]{CLOCK}(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"), datetime.fromisoformat),
    (re.compile(rf"\d{{4}}/\d\d/\d\d {CLOCK}"), _by("%Y/%m/%d %H:%M:%S")),
    (re.compile(rf"\b\d\d/\d\d/\d\d {CLOCK}"), _by("%y/%m/%d %H:%M:%S")),
    (re.compile(rf"\d\d/[A-Z][a-z]{{2}}/\d{{4}}:{CLOCK} [+-]\d{{4}}"), _by("%d/%b/%Y:%H:%M:%S %z")),
    (re.compile(rf"[A-Z][a-z]{{2}} [A-Z][a-z]{{2}} [ \d]\d {CLOCK} \d{{4}}"), _by("%a %b %d %H:%M:%S %Y")),
    (re.compile(rf"[A-Z][a-z]{{2}} [ \d]\d {CLOCK}"), _syslog),
    (re.compile(r"^\d{6} \d{6}\b"), _by("%y%m%d %H%M%S")),
)


def time_of(text: str) -> float | None:
    """The first time that the head of a line names, in UTC where it says nothing else."""
    head = text[:HEAD]
    for pattern, read in TIMES:
        if found := pattern.search(head):
            try:
                moment = read(found.group().replace(",", "."))
            except ValueError:
                continue
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None


def level_of(text: str) -> str:
    """The level that the head of a line names; INFO where it names none."""
    found = LEVEL.search(text[:HEAD])
    name = next(filter(None, found.groups()), "").upper() if found else ""
    name = ALIASES.get(name, name)
    return name if name in NUMBER else "INFO"


def lines_of(path: Path) -> Iterator[Line]:
    """Every line of a file. One without a time has that of the line before: the order is the file's own."""
    timestamp = 0.0
    with path.open("rb") as opened:
        for number, raw in enumerate(opened, 1):
            text = raw.rstrip(b"\r\n").decode("utf-8", "replace")[:LONGEST]
            found = time_of(text)
            timestamp = timestamp if found is None else found
            yield Line(number, timestamp, level_of(text), text)


def is_text(path: Path) -> bool:
    """Whether a file holds lines at all: what has a zero byte near its begin does not."""
    with path.open("rb") as opened:
        return b"\0" not in opened.read(8192)
