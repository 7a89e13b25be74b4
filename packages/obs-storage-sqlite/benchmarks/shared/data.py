"""Log entries for the benchmarks: made from a seed, or the lines of real files."""

import itertools
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from obs_core import LogEntry

START = 1_764_000_000.0

ROUTES = ("/", "/cart", "/orders/{}", "/products/{}", "/login", "/search", "/checkout", "/static/app.js")

WORDS = (
    "payment",
    "order",
    "stock",
    "cache",
    "session",
    "customer",
    "invoice",
    "refund",
    "delivery",
    "voucher",
    "basket",
    "profile",
    "token",
)

RARE = "Quetzalcoatl"


def web_logs(count: int, seed: int = 1) -> Iterator[LogEntry]:
    """Requests of a shop at 100 a second, one to four entries each; one rare word in a million entries."""
    chance = random.Random(seed)
    now, made = START, 0
    while made < count:
        now += chance.expovariate(40)
        for entry in _request(chance, now):
            if made == count:
                return
            made += 1
            if made % 1_000_000 == 500_000 or made == count // 2:
                known = random.Random(made).getrandbits(64)
                yield msgspec.structs.replace(entry, message=f"{entry.message} {RARE} {known:016x}")
            else:
                yield entry


def _request(chance: random.Random, now: float) -> Iterator[LogEntry]:
    request, trace = f"{chance.getrandbits(64):016x}", f"{chance.getrandbits(128):032x}"
    span, order, user = (
        f"{chance.getrandbits(64):016x}",
        chance.randrange(100_000, 999_999),
        chance.randrange(5000),
    )
    status = 200 if chance.random() < 0.95 else chance.choice((301, 404, 404, 500, 503))
    spent = round(chance.lognormvariate(2.5, 0.9), 1)
    route = ROUTES[min(int(chance.expovariate(0.6)), len(ROUTES) - 1)].format(order)
    yield LogEntry(
        now,
        "ERROR" if status >= 500 else "INFO",
        f"GET {route} {status} in {spent} ms",
        {"request_id": request, "status": status, "duration_ms": spent, "user": user},
        "shop.access",
        trace,
        span,
    )
    for _ in range(chance.randrange(3)):
        now += chance.expovariate(300)
        word = chance.choice(WORDS)
        yield LogEntry(
            now,
            chance.choice(("DEBUG", "INFO", "INFO", "WARNING")),
            f"{word} {order} {chance.choice(('stored', 'loaded', 'sent', 'checked'))} for user {user}",
            {"request_id": request, "order": order, "amount": round(chance.uniform(1, 300), 2), "plan": word},
            "shop.orders",
            trace,
            span,
        )


def real_logs(folder: Path) -> Iterator[LogEntry]:
    """The lines of every file of a folder."""
    for path in sorted(folder.glob("*.log")):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines()):
            yield LogEntry(
                START + number, "ERROR" if "error" in line.lower() else "INFO", line, {}, path.stem
            )


def batched(entries: Iterable[LogEntry], size: int = 1000) -> Iterator[list[LogEntry]]:
    source = iter(entries)
    while batch := list(itertools.islice(source, size)):
        yield batch
