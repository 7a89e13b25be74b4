"""Bad things from strangers: label values, header values, messages, attributes, queries, made by Hypothesis.

Whatever they are: the exposition is read by another parser, a line of logs is one entry, nothing is forged, nothing is
a 500, and no query goes over its bounds.
"""

import asyncio
import io
import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_from_bytes

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from harness import raw
from harness.prometheus import promtool_check
from obs_asgi import ObsApp, ObsMiddleware
from obs_core import MemoryStorage
from obs_runtime import EmbeddedRuntime

from .figures import Figures, holds
from .outages import start
from .shim import Disk

EACH = 20
# What a terminal or a reader of lines acts upon; each line ends with its newline.
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
BOUND = 10.0
NASTY = (
    'a"} 1\nfake_total 999\n#',
    '"} 1 # {trace_id="x"} 1',
    '\n{"cursor":"1","message":"forged"}\n',
    "\r\nx-forged: 1",
    "\\\\n\\",
    "\u2028\u2029\u0085",
    "\x1b[2J\x9b31m\x07\0\x7f",
    "\ud800\udfff",
    "x" * 70_000,
    "é" * 600,
    "# EOF\n",
    "NaN",
)
ANY = st.characters(exclude_categories=())
TEXT = st.one_of(st.sampled_from(NASTY), st.text(ANY, max_size=40))
ATTRIBUTE = st.recursive(
    st.one_of(TEXT, st.none(), st.booleans(), st.integers(), st.floats(), st.binary(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=8,
)
HEADERS = st.sampled_from(
    b"x-request-id traceparent authorization accept accept-encoding host origin cookie user-agent x-forwarded-for"
    b" content-length range if-none-match".split()
)
HEADER = st.tuples(
    HEADERS, st.one_of(st.binary(max_size=60), TEXT.map(lambda text: text.encode("utf-8", "replace")))
)
NAMES = (
    "since",
    "until",
    "level",
    "q",
    "logger",
    "trace_id",
    "order",
    "limit",
    "after",
    "attr.a",
    "nonsense",
)
VALUE = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        (b"15m", b"0", b"ERROR", b"asc", b"desc", b"10000", b"99999999999999999999", b"-1", b"1e309")
    ),
)
QUERY = st.lists(st.tuples(st.one_of(st.sampled_from(NAMES), st.text(max_size=8)), VALUE), max_size=4)


@dataclass
class Seen:
    """What came of all cases."""

    cases: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0
    page: str = ""


def strangers(folder: Path, cases: int) -> Figures:
    """So many values, in one process against the ASGI application, and a part of them over a socket."""
    seen = Seen()
    examples = max(cases // (5 * EACH), 2)
    with asyncio.Runner() as runner:

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(
            *(st.lists(one, min_size=EACH, max_size=EACH) for one in (TEXT, TEXT, ATTRIBUTE, HEADER, QUERY))
        )
        def fuzz(labels: Any, messages: Any, attributes: Any, headers: Any, queries: Any) -> None:
            # Each says on stderr who may read.
            with redirect_stderr(io.StringIO()):
                runner.run(_one(seen, labels, messages, attributes, headers, queries))

        fuzz()
    holds(not promtool_check(seen.page), f"promtool: {promtool_check(seen.page)[:500]}")
    sent = _over_a_socket(folder, max(cases // 50, 20))
    return {
        **{name: str(count) for name, count in seen.cases.items()},
        "cases in all": str(seen.cases.total() + sent),
        "requests over a socket": str(sent),
        "answers": ", ".join(f"{status}: {count}" for status, count in sorted(seen.statuses.items())),
        "slowest answer": f"{seen.slowest:.3f} s",
    }


async def _one(
    seen: Seen,
    labels: Sequence[str],
    messages: Sequence[str],
    attributes: Sequence[Any],
    headers: Sequence[tuple[bytes, bytes]],
    queries: Sequence[Sequence[tuple[str, bytes]]],
) -> None:
    runtime = EmbeddedRuntime(MemoryStorage(), signals=False, process_metrics=False)
    requests = runtime.registry.counter("fuzz_total", "Fuzz.", labels=("value",))
    spent = runtime.registry.histogram("fuzz_seconds", "Fuzz.", labels=("value",), buckets=(1,))
    with runtime:
        for label in labels:
            requests.labels(label).inc()
            spent.labels(label).observe(0.5)
        log = runtime.logger("fuzz")
        for message, attribute in zip(messages, attributes, strict=True):
            log.info(message, value=attribute, nested={message[:20]: attribute})
        await asyncio.to_thread(runtime.flush)
        closed = ObsMiddleware(ObsApp(runtime, token="secret"), runtime)
        opened = ObsApp(runtime, access="open")
        for one in headers:
            status, *_ = await _ask(seen, closed, "/metrics", headers=[one])
            holds(status == 401, f"{one!r} was answered with {status}")
        for query in queries:
            _is_an_answer(await _ask(seen, opened, "/logs", _encoded(query), headers[:1]))
        for accept, parser in ((b"text/plain", prometheus), (b"application/openmetrics-text", openmetrics)):
            status, _, body = await _ask(seen, opened, "/metrics", headers=[(b"accept", accept)])
            holds(status == 200, f"/metrics was answered with {status}")
            _is_an_exposition(body.decode(), parser, len(set(labels)), len(labels))
            seen.page = seen.page if parser is openmetrics else body.decode()
        status, _, body = await _ask(seen, opened, "/logs", b"logger=fuzz")
        _are_entries(body, messages)
    kinds = ("label values", "messages", "attributes", "header values", "queries")
    seen.cases.update(dict.fromkeys(kinds, EACH))


def _encoded(query: Sequence[tuple[str, bytes]]) -> bytes:
    return "&".join(f"{quote(name)}={quote_from_bytes(value)}" for name, value in query).encode()


async def _ask(
    seen: Seen, app: Any, path: str, query: bytes = b"", headers: Sequence[tuple[bytes, bytes]] = ()
) -> tuple[int, dict[bytes, bytes], bytes]:
    """The whole answer to one request, as a server would give it."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query,
        "headers": list(headers),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    begun = time.perf_counter()
    await app(scope, receive, send)
    seen.slowest = max(seen.slowest, time.perf_counter() - begun)
    holds(seen.slowest < BOUND, f"{path}?{query!r} took {seen.slowest:.1f} s")
    status = int(sent[0]["status"])
    seen.statuses[status] += 1
    names = dict(sent[0]["headers"])
    holds(
        not any(b"\n" in part or b"\r" in part for pair in names.items() for part in pair),
        "a header was split",
    )
    return status, names, b"".join(message.get("body", b"") for message in sent[1:])


def _is_an_answer(answer: tuple[int, dict[bytes, bytes], bytes]) -> None:
    """Lines, or a problem that says what is wrong."""
    status, headers, body = answer
    holds(status in (200, 400, 410), f"/logs was answered with {status}: {body[:200]!r}")
    if status == 200:
        lines = [json.loads(line) for line in body.splitlines()]
        holds(len(lines) <= 10_000 and all("cursor" in line for line in lines), "no entries")
    else:
        holds(headers[b"content-type"].startswith(b"application/problem+json"), f"{headers}")
        holds(json.loads(body)["status"] == status, "another status in the problem")


def _is_an_exposition(text: str, parser: Any, different: int, count: int) -> None:
    """Another parser finds what was counted, no more and no less, under no other name."""
    families = {family.name: family for family in parser(text)}
    strange = [name for name in families if not name.startswith(("fuzz", "obs_", "http_server_"))]
    holds(not strange, f"forged: {strange}")
    totals = [sample for sample in families["fuzz"].samples if sample.name == "fuzz_total"]
    holds(0 < len(totals) <= different, f"{len(totals)} series of {different} values")
    holds(sum(sample.value for sample in totals) == count, "the total is another")


def _are_entries(body: bytes, messages: Sequence[str]) -> None:
    """Each line is one entry, in order, with its message, and nothing between."""
    holds(not CONTROL.search(body.decode()), "control characters as they are")
    lines = body.decode().split("\n")
    holds(lines.pop() == "", "the last line has no end")
    found = [json.loads(line) for line in lines]
    holds(len(found) == len(messages), f"{len(messages)} entries were logged, and {len(found)} lines came")
    for line, message in zip(found, messages, strict=True):
        expected = message.encode("utf-8", "replace").decode()
        same = line["message"] == expected or (
            len(expected) > 1000 and line["message"][:1000] == expected[:1000]
        )
        holds(same and line["logger"] == "fuzz", f"{line['message'][:100]!r} is not {expected[:100]!r}")


def _over_a_socket(folder: Path, count: int) -> int:
    """The same headers and paths to a real server, which goes on serving."""
    lines: list[bytes] = []

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        HEADER, st.one_of(TEXT.map(quote_safely), QUERY.map(lambda query: "logs?" + _encoded(query).decode()))
    )
    def send(header: tuple[bytes, bytes], path: str) -> None:
        name, value = header
        value = value.replace(b"\n", b" ").replace(b"\r", b" ")
        lines.append(value)
        token = service.headers["authorization"].encode()
        answer = raw.ask(address, f"/{path[:2000]}", b"authorization: " + token, name + b": " + value)
        holds(answer.status < 500, f"{header!r} to /{path} was answered with {answer.status}")

    with ExitStack() as stack:
        service = start(stack, folder, Disk(folder / "faults"))
        address = ("127.0.0.1", service.server.port)
        service.get("/log/1")
        send()
        families = list(prometheus(service.exposition()))
        holds(families and "Traceback" not in service.server.output, service.server.output[-2000:])
        service.logs(limit=10_000)
    return len(lines)


def quote_safely(text: str) -> str:
    return quote(text.encode("utf-8", "replace"))
