"""What is read back, held against plain Python on the same lines."""

import json
import random
import re
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any

from obs_core import LogQuery, Storage, StoredLog
from obs_core.encoders import encode_ndjson

from .lines import SEVERITY, Line

WORDS = 50
PAGE = 7
MOST_PAGES = 3_000
WINDOWS = 10

Differences = list[str]


async def read(storage: Storage, **asked: Any) -> list[StoredLog]:
    return [stored async for stored in storage.logs.read(LogQuery(**asked))]


def as_lines(found: Sequence[StoredLog]) -> list[tuple[Any, ...]]:
    """What identifies an entry and must have survived."""
    return [
        (stored.entry.attributes["line"], stored.entry.timestamp, stored.entry.level, stored.entry.message)
        for stored in found
    ]


def expected(lines: Sequence[Line]) -> list[tuple[Any, ...]]:
    return [(line.number, line.timestamp, line.level, line.message) for line in lines]


def compare(what: str, found: Sequence[StoredLog], lines: Sequence[Line]) -> Differences:
    """Nothing where both have the same content in the same order."""
    ours, plain = as_lines(found), expected(lines)
    if ours == plain:
        return []
    first = next(
        (pair for pair in zip(ours, plain, strict=False) if pair[0] != pair[1]), ("an end", "an end")
    )
    return [f"{what}: {len(ours)} entries, plain Python has {len(plain)}; first difference {first}"]


async def whole(storage: Storage, lines: Sequence[Line]) -> Differences:
    """Everything, forwards and backwards, with counts in all and of each level."""
    found = await read(storage)
    wrong = compare("all", found, lines)
    wrong += compare("all, newest first", await read(storage, order="desc"), lines[::-1])
    for level in (None, *SEVERITY):
        count = sum(level in (None, line.level) for line in lines)
        ours = await storage.logs.count(level=level)
        if ours != count:
            wrong.append(f"count of {level or 'all'}: {ours}, plain Python counts {count}")
    return wrong


async def levels(storage: Storage, lines: Sequence[Line]) -> Differences:
    """This severity or worse."""
    wrong: Differences = []
    for level, number in SEVERITY.items():
        wanted = [line for line in lines if SEVERITY[line.level] >= number]
        wrong += compare(f"level {level}", await read(storage, level=level), wanted)
    return wrong


async def times(storage: Storage, lines: Sequence[Line]) -> Differences:
    """Windows that touch: `since` belongs to one, `until` does not."""
    wrong: Differences = []
    moments = sorted(line.timestamp for line in lines)
    edges = [moments[len(moments) * step // WINDOWS] for step in range(WINDOWS)] + [moments[-1] + 1]
    for since, until in pairwise(edges):
        wanted = [line for line in lines if since <= line.timestamp < until]
        wrong += compare(f"from {since} to {until}", await read(storage, since=since, until=until), wanted)
    return wrong


def some_words(lines: Sequence[Line], chance: random.Random) -> list[str]:
    """Words, numbers and bits of either, in another case than the file's."""
    words = sorted({word for line in lines for word in re.findall(r"\w{2,}", line.message)})
    chosen = chance.sample(words, min(WORDS, len(words)))
    return [word.swapcase() if place % 2 else word[: 2 + place % 5] for place, word in enumerate(chosen)]


async def texts(storage: Storage, lines: Sequence[Line], chance: random.Random) -> Differences:
    """A part of the message, in any case."""
    wrong: Differences = []
    folded = [(line.message.casefold(), line) for line in lines]
    for word in [*some_words(lines, chance), "no such text anywhere"]:
        wanted = [line for message, line in folded if word.casefold() in message]
        wrong += compare(f"text {word!r}", await read(storage, text=word), wanted)
    return wrong


async def attributes(
    storage: Storage, lines: Sequence[Line], chance: random.Random, name: str
) -> Differences:
    """Equal to a value: a number, a text, and one that only some entries have."""
    wrong = compare("attribute file", await read(storage, attributes={"file": name}), lines)
    notices = [line for line in lines if line.name == "NOTICE"]
    wrong += compare("attribute level", await read(storage, attributes={"level": "NOTICE"}), notices)
    for line in chance.sample(list(lines), min(WORDS, len(lines))):
        found = await read(storage, attributes={"line": str(line.number)})
        wrong += compare(f"attribute line={line.number}", found, [line])
    return wrong


async def pages(storage: Storage, lines: Sequence[Line], order: str) -> Differences:
    """Pages of 7, each from the cursor of the one before: nothing lost, nothing twice."""
    wanted = list(lines if order == "asc" else lines[::-1])[: PAGE * MOST_PAGES]
    found: list[StoredLog] = []
    cursor = ""
    while len(found) < len(wanted):
        page = await read(storage, after=cursor, limit=PAGE, order=order)
        if not page:
            break
        found += page
        cursor = page[-1].cursor
    wrong = compare(f"pages, {order}", found[: len(wanted)], wanted)
    if len({stored.cursor for stored in found}) != len(found):
        wrong.append(f"pages, {order}: a cursor came twice")
    return wrong


async def wire(storage: Storage, lines: Sequence[Line]) -> Differences:
    """The lines of the endpoint, read by `json` of the standard library."""

    async def stored() -> AsyncIterator[StoredLog]:
        async for each in storage.logs.read(LogQuery()):
            yield each

    text = b"".join([part async for part in encode_ndjson(stored())]).decode("utf-8")
    read_back = [json.loads(line) for line in text.split("\n") if line]
    if [each["message"] for each in read_back] == [line.message for line in lines]:
        return []
    return [f"NDJSON: {len(read_back)} lines, not the messages of the {len(lines)} in the file"]


async def everything(storage: Storage, lines: Sequence[Line], name: str) -> Differences:
    """All of them; the same file is asked the same questions each time."""
    chance = random.Random(name)  # noqa: S311  # nothing secret
    return [
        *await whole(storage, lines),
        *await levels(storage, lines),
        *await times(storage, lines),
        *await texts(storage, lines, chance),
        *await attributes(storage, lines, chance, name),
        *await pages(storage, lines, "asc"),
        *await pages(storage, lines, "desc"),
        *await wire(storage, lines),
    ]
