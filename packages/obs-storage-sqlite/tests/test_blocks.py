import math
from array import array

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from obs_core import LogEntry, LogQuery, StorageError, matches_log
from obs_storage_sqlite._blocks import block_filter, encode_block, folded
from obs_storage_sqlite._columns import (
    Words,
    pack_doubles,
    pack_numbers,
    pack_texts,
    pack_words,
    unpack_doubles,
    unpack_numbers,
    unpack_texts,
    unzigzag,
    zigzag,
)
from obs_storage_sqlite._filters import by_stripe, holds, stripes, text_probes, value_key, value_probes
from obs_storage_sqlite._flushes import pieces
from obs_storage_sqlite._headers import bitmap, live
from obs_storage_sqlite._points import SeriesCache, pack_series, unpack_series
from obs_storage_sqlite._views import BlockView
from obs_storage_sqlite._windows import Row, WindowView, encode_window
from obs_storage_sqlite._zstd import compress, decompress

pytestmark = pytest.mark.unit


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_numbers_come_back(numbers):
    assert unpack_numbers(pack_numbers(numbers), len(numbers)).tolist() == numbers


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_signed_numbers_come_back(numbers):
    assert unzigzag(array("Q", zigzag(numbers))).tolist() == numbers


@given(st.lists(st.floats()))
def test_doubles_come_back_bit_for_bit(numbers):
    doubles = array("d", numbers)
    assert unpack_doubles(pack_doubles(doubles), len(doubles)).tobytes() == doubles.tobytes()


@given(st.lists(st.sampled_from(["", "ab" * 16, "cd" * 16, "AB" * 16, "x", "é"])) | st.lists(st.text()))
def test_words_come_back_in_any_order_of_asking(words):
    packed = pack_words(words)
    assert Words(packed, len(words)).all() == words
    found = Words(packed, len(words))
    assert [found[row] for row in reversed(range(len(words)))] == words[::-1]
    for word in set(words):
        rows = list(Words(packed, len(words)).rows_of(lambda one, word=word: one == word))
        assert rows == [row for row, one in enumerate(words) if one == word]


@given(st.lists(st.text().map(str.encode)))
def test_texts_come_back(texts):
    ends, data = unpack_texts(pack_texts(texts), len(texts))
    assert [data[start:end] for start, end in zip([0, *ends], ends, strict=False)] == texts


@given(st.integers(1, 70), st.data())
def test_rows_that_are_gone_are_not_live(count, data):
    gone = data.draw(st.sets(st.integers(0, count - 1)))
    later = data.draw(st.sets(st.integers(0, count - 1)))
    bits = bitmap(count, sorted(later), bitmap(count, sorted(gone)))
    assert list(live(count, bits)) == [row for row in range(count) if row not in gone | later]


@given(st.lists(st.text(min_size=1), min_size=1), st.data())
def test_a_filter_never_denies_what_is_there(messages, data):
    entries = [LogEntry(0.0, "INFO", message, {"order": message}) for message in messages]
    cut = stripes(block_filter(entries))
    message = data.draw(st.sampled_from(messages))
    start = data.draw(st.integers(0, len(message)))
    probes = [*text_probes(folded(message[start:])), *value_probes(value_key("order", message))]
    assert all(holds(cut[stripe], places) for stripe, places in by_stripe(probes).items())


attributes = st.dictionaries(
    st.text(max_size=3),
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary()
    | st.lists(st.integers(0, 9)),
    max_size=4,
)
logs = st.builds(
    LogEntry,
    st.floats(allow_nan=False),
    st.sampled_from(["TRACE", "INFO", "ERROR"]),
    st.text() | st.sampled_from(["Straße", "STRASSE \u212a"]),
    attributes,
    st.sampled_from(["", "shop", "shop.orders"]),
    st.sampled_from(["", "ab" * 16]) | st.text(),
    st.text(max_size=2),
)


@given(st.lists(logs, min_size=1, max_size=30), st.data())
def test_a_block_gives_back_its_entries_and_finds_the_same_as_a_plain_scan(entries, data):
    cursors = sorted(data.draw(st.sets(st.integers(1, 99), min_size=len(entries), max_size=len(entries))))
    parts = encode_block(cursors, entries)
    view = BlockView(cursors[0], parts.__getitem__)
    assert repr(view.entries(range(len(entries)))) == repr(entries)
    assert list(view.cursors) == cursors
    sparse = range(0, len(entries), 11)
    assert repr(BlockView(cursors[0], parts.__getitem__).entries(sparse)) == repr(
        [entries[row] for row in sparse]
    )
    query = LogQuery(
        text=data.draw(st.sampled_from(["", "strasse", "K", "a", "\0"])),
        level=data.draw(st.sampled_from([None, "INFO", "ERROR"])),
        logger=data.draw(st.sampled_from(["", "shop"])),
        since=data.draw(st.none() | st.floats(allow_nan=False)),
    )
    expected = [row for row, entry in enumerate(entries) if matches_log(query, entry)]
    assert list(view.rows(query, range(len(entries)))) == expected


@given(st.lists(st.sampled_from(["INFO", "INFO", "DEBUG", "ERROR"]), min_size=40, max_size=60), st.data())
def test_severe_entries_that_are_kept_apart_stand_where_they_stood(levels, data):
    entries = [
        LogEntry(float(n % 7), level, f"m{n % 3}", {"n": n, level: n % 5}, "shop", f"{n % 9:032x}")
        for n, level in enumerate(levels)
    ]
    view = BlockView(1, encode_block(range(1, len(entries) + 1), entries).__getitem__)
    rows = sorted(data.draw(st.sets(st.integers(0, len(entries) - 1))))
    assert view.entries(rows) == [entries[row] for row in rows]
    for asked in (
        LogQuery(level="ERROR", since=2.0, until=5.0),
        LogQuery(text="M1"),
        LogQuery(trace_id=f"{4:032x}"),
        LogQuery(attributes={"INFO": "3"}, level="DEBUG"),
    ):
        assert list(view.rows(asked, rows)) == [row for row in rows if matches_log(asked, entries[row])]


def test_whoever_asks_for_errors_opens_one_part():
    entries = [LogEntry(1.0, "INFO" if n else "ERROR", f"{n}", {"n": n}) for n in range(40)]
    base = encode_block(range(1, 41), entries)[0]
    view = BlockView(1, {0: base}.__getitem__)
    assert view.entries(view.rows(LogQuery(level="ERROR"), range(40))) == entries[:1]


def test_a_block_that_keeps_nothing_apart_is_read_as_before():
    entries = [LogEntry(1.0, "INFO" if n else "ERROR", f"{n}", {"n": n}) for n in range(40)]
    base = msgspec.msgpack.decode(decompress(encode_block(range(1, 41), entries)[0]))
    # Of two entries half are severe, so that their columns lie with the others.
    parts = encode_block([1, 2], entries[:2])
    before = compress(msgspec.msgpack.encode(msgspec.msgpack.decode(decompress(parts[0]))[:4]))
    assert len(base) == 5
    assert BlockView(1, [before, *parts[1:]].__getitem__).entries(range(2)) == entries[:2]


@given(st.lists(st.integers(1, 2**40)))
def test_lists_of_series_come_back(ids):
    assert unpack_series(pack_series(ids)) == ids


values = (
    st.floats(allow_nan=True)
    | st.integers(-(2**54), 2**54).map(float)
    | st.sampled_from([0.0, -0.0, math.inf])
)


@given(st.lists(st.lists(values, min_size=40, max_size=40), min_size=1, max_size=5))
def test_every_value_of_a_window_comes_back_bit_for_bit(table):
    ids = list(range(1, 41))
    rows = [Row(3 * n + 1, float(n), pack_series(ids), array("d", row)) for n, row in enumerate(table)]
    # One instant lacks half of the series.
    rows[-1] = Row(rows[-1].id, 9.0, pack_series(ids[20:]), rows[-1].values[20:])
    directory, chunks = encode_window(rows)
    view = WindowView(1, directory, chunks.__getitem__, SeriesCache())
    assert view.ids == [row.id for row in rows]
    for place, id_ in enumerate(ids):
        expected = array("d", [row[place] for row in (table if place >= 20 else table[:-1])])
        assert view.column(id_).tobytes() == expected.tobytes()
        assert len(view.rows_of(id_)) == len(expected)
    assert view.column(99).tolist() == []


def test_an_entry_that_could_not_be_read_again_is_refused():
    with pytest.raises(StorageError, match="over the bound"):
        pieces([LogEntry(0.0, "INFO", "x" * 40_000_000)])


def test_what_is_no_entry_is_refused_by_name():
    with pytest.raises(TypeError, match="LogEntry"):
        pieces(["no entry"])
    with pytest.raises(TypeError, match="LOUD"):
        pieces([LogEntry(0.0, "LOUD", "x")])


def test_a_large_batch_is_cut_into_rows():
    rows = pieces([LogEntry(0.0, "INFO", "x" * 60_000) for _ in range(200)])
    assert len(rows) > 1
    assert sum(row.rows for row in rows) == 200


@pytest.mark.parametrize("frame", [b"", b"no frame", compress(b"x" * 100)[:-3]])
def test_what_is_no_frame_is_an_error_of_ours(frame):
    with pytest.raises(StorageError):
        decompress(frame)


def test_a_frame_that_claims_too_much_is_refused_before_it_is_opened():
    with pytest.raises(StorageError, match="at most"):
        decompress(compress(bytes(200_000_000)))
