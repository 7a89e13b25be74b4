import json
import math
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from obs_core import LogEntry, StoredLog
from obs_core.encoders import encode_ndjson, ndjson_lines, rfc3339

pytestmark = pytest.mark.unit

TEXT = st.text(st.characters(codec=None))


def entry(message: str = "paid", **fields: object) -> LogEntry:
    return LogEntry(**{"timestamp": 1764000000.5, "level": "INFO", "message": message, **fields})  # type: ignore[arg-type]


def test_a_line_has_its_keys_in_the_documented_order():
    stored = StoredLog("g-1", entry(logger="shop", attributes={"order": 7}, trace_id="ab", span_id="cd"))
    assert ndjson_lines([stored]) == (
        b'{"cursor":"g-1","timestamp":"2025-11-24T16:00:00.500000Z","level":"INFO","logger":"shop",'
        b'"message":"paid","attributes":{"order":7},"trace_id":"ab","span_id":"cd"}\n'
    )


def test_cursor_and_ids_are_left_out_where_there_are_none():
    assert list(json.loads(ndjson_lines([entry()]))) == [
        "timestamp",
        "level",
        "logger",
        "message",
        "attributes",
    ]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(TEXT, st.dictionaries(TEXT, TEXT | st.floats() | st.integers(), max_size=3))
def test_every_entry_is_one_line_of_json(message, attributes):
    line = ndjson_lines([entry(message, attributes=attributes)])
    assert len(line.decode().splitlines()) == 1
    assert json.loads(line)["message"] == message.encode("utf-8", "replace").decode()


@pytest.mark.parametrize("mark", ["\n", "\r", "\x1b[31m", "\x00", "\x7f", "\x85", "\x9b", "\u2028", "\u2029"])
def test_what_splits_lines_or_drives_terminals_is_escaped(mark):
    line = ndjson_lines([entry(f"a{mark}b")])
    assert mark.encode() not in line[:-1]
    assert json.loads(line)["message"] == f"a{mark}b"


def test_ten_megabytes_are_one_line():
    assert len(json.loads(ndjson_lines([entry("x" * 10_000_000)]))["message"]) == 10_000_000


def test_attributes_that_are_not_json_do_not_break_the_line():
    cycle: list[object] = []
    cycle.append(cycle)
    attributes = {"nan": math.nan, "large": 2**70, "cycle": cycle, "bytes": b"x", "bad": "\ud800"}
    seen = json.loads(ndjson_lines([entry(attributes=attributes)]))["attributes"]
    assert seen.keys() == attributes.keys()


@pytest.mark.parametrize(
    ("timestamp", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000000Z"),
        (0.9999999, "1970-01-01T00:00:01.000000Z"),
        (-0.5, "1969-12-31T23:59:59.500000Z"),
        (1e300, "9999-12-31T23:59:59.000000Z"),
        (-1e300, "0001-01-01T00:00:00.000000Z"),
        (math.inf, "9999-12-31T23:59:59.000000Z"),
        (math.nan, "1970-01-01T00:00:00.000000Z"),
    ],
)
def test_timestamps_are_rfc_3339_and_clamped(timestamp, text):
    assert rfc3339(timestamp) == text


@pytest.mark.asyncio
async def test_streams_come_in_chunks_and_hold_every_line():
    async def stored():
        for number in range(5000):
            yield StoredLog(f"g-{number}", entry(f"message {number}"))

    chunks = [chunk async for chunk in encode_ndjson(stored())]
    assert len(chunks) > 1
    assert [json.loads(line)["cursor"] for line in b"".join(chunks).splitlines()] == [
        f"g-{n}" for n in range(5000)
    ]


@pytest.mark.asyncio
async def test_a_plain_list_streams_too_and_nothing_gives_nothing():
    assert [chunk async for chunk in encode_ndjson([])] == []
    assert [chunk async for chunk in encode_ndjson([entry()])] == [ndjson_lines([entry()])]


@settings(deadline=None)
@given(st.floats())
def test_every_timestamp_is_written_with_microseconds(timestamp):
    (line,) = ndjson_lines([entry(timestamp=timestamp)]).splitlines()
    assert json.loads(line)["timestamp"] == rfc3339(timestamp)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", rfc3339(timestamp))


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**64, 10**300])
def test_integers_over_64_bits_keep_their_digits(value):
    seen = json.loads(ndjson_lines([entry(attributes={"n": value})]))["attributes"]["n"]
    assert int(seen) == value


def test_one_bad_entry_does_not_cost_the_others():
    entries = [entry("a"), entry("b\ud800", attributes={"x": {1, (2, object)}}, logger="\udfff"), entry("c")]
    lines = [json.loads(line) for line in ndjson_lines(entries).splitlines()]
    assert [line["message"] for line in lines] == ["a", "b?", "c"]
    assert lines[1]["logger"] == "?"


@pytest.mark.asyncio
async def test_chunks_stay_small_whatever_the_size_of_a_message():
    entries = [entry("x" * 50_000) for _ in range(10)]
    chunks = [chunk async for chunk in encode_ndjson(entries)]
    assert max(map(len, chunks)) < 120_000
    assert b"".join(chunks) == ndjson_lines(entries)
