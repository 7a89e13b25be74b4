"""The pure parts of the board: bytes, slots, merging, retired sums."""

import json
import math
from array import array
from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from obs_core import Exemplar, MetricFamily, MetricMetadata
from obs_core._families import MAX_SERIES, OVERFLOW
from obs_core.encoders import series_key
from obs_runtime._board import bounds, retired
from obs_runtime._board import format as live_format
from obs_runtime._board._errors import DamagedError, UnknownFormatError
from obs_runtime._board.format import Header, Room
from obs_runtime._board.merge import Merger
from obs_runtime._board.model import Column, Published, labelled
from obs_runtime._board.retired import Retired, grown
from obs_runtime._board.slots import Columns, RearrangedError, Slots, decode_extra

pytestmark = pytest.mark.unit
roomy = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)

HEADER = Header(b"i" * 16, b"n" * 8, 3, 1764000000.5, Room(128, 512, 8192))
# Names of families, as a release may have them, and label values of any text.
names = st.sampled_from(["a", "b", "c"])
finite = st.floats(min_value=0, max_value=1e15)


def family(
    name: str, values: dict[str, float], kind: str = "counter", aggregate: str = "sum"
) -> MetricFamily:
    return MetricFamily(MetricMetadata(name, kind, "Help."), list(values), list(values.values()), aggregate)


def published(
    families: list[MetricFamily], id_: str = "w", number: int = 0, started: float = 1.0
) -> Published:
    slots, columns = Slots(), Columns(started)
    columns.add(slots.fit(families))
    values = slots.values(families)
    values.append(0.0)
    return Published(id_, number, (id_, columns.count), columns.columns, values)


def merged(*parts: Published) -> dict[str, float]:
    families = Merger(lambda _worker, _metric: None).merge(parts)
    return {key: value for one in families for key, value in zip(one.keys, one.values, strict=True)}


def test_a_header_comes_back():
    head = live_format.encode_header(HEADER).ljust(live_format.HEAD, b"\0")
    assert live_format.decode_header(head) == HEADER


@roomy
@given(st.integers(0, 63), st.integers(1, 255))
def test_a_header_with_a_changed_byte_is_refused(place, change):
    head = bytearray(live_format.encode_header(HEADER).ljust(live_format.HEAD, b"\0"))
    head[place] ^= change
    with pytest.raises((DamagedError, UnknownFormatError)):
        live_format.decode_header(bytes(head))


def test_a_header_of_a_newer_release_says_its_version():
    head = bytearray(live_format.encode_header(HEADER).ljust(live_format.HEAD, b"\0"))
    head[8] = 9
    with pytest.raises(UnknownFormatError, match="format 9"):
        live_format.decode_header(bytes(head))


@roomy
@given(st.lists(st.floats(), max_size=20), st.binary(max_size=20), st.integers(1, 2**62))
def test_values_come_back_and_a_changed_byte_is_noticed(numbers, extra, number):
    body = array("d", numbers).tobytes()
    area = live_format.Area(*live_format._AREA.unpack(live_format.encode_area(number, body, 7, extra)))
    assert area[:4] == (number, len(numbers), 7, len(extra))
    values = live_format.checked_values(area, body, extra)
    assert values.tobytes() == body + bytes(8)
    if body:
        with pytest.raises(DamagedError):
            live_format.checked_values(area, bytes([body[0] ^ 1]) + body[1:], extra)


@roomy
@given(st.lists(st.lists(st.text(), max_size=3), max_size=5), st.data())
def test_records_come_back_and_none_that_is_cut_off(contents, data):
    encoded = b"".join(map(live_format.encode_record, contents))
    assert list(live_format.decode_records(encoded)) == contents
    if encoded:
        cut = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
        with suppress(DamagedError):
            records = list(live_format.decode_records(cut))
            assert records == contents[: len(records)]


@roomy
@given(
    st.lists(
        st.dictionaries(names, st.dictionaries(st.text(max_size=5), finite, max_size=4)),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_comes_is_read_back_by_its_key(publications):
    """Families and series come and go, in any order, and the reader sees the last of them."""
    slots, columns = Slots(), Columns(0.0)
    for publication in publications:
        families = [
            family(name, {f"{name}_total{{q={json.dumps(label)}}}": value for label, value in series.items()})
            for name, series in publication.items()
        ]
        try:
            keys = slots.fit(families)
        except RearrangedError:
            slots, columns = slots.anew(), Columns(0.0)
            keys = slots.fit(families)
        columns.add(keys)
        values = slots.values(families)
        seen = {
            key: values[slot]
            for column in columns.columns
            for key, slot in zip(column.keys, column.slots, strict=True)
        }
        assert seen == {
            key: value for one in families for key, value in zip(one.keys, one.values, strict=True)
        }
        assert len(values) == columns.count


def test_slots_are_kept_and_nothing_is_said_twice():
    slots = Slots()
    assert slots.fit([family("a", {"a_total": 1.0})])
    assert slots.fit([family("a", {"a_total": 2.0})]) == b""
    more = [family("b", {"b_total": 5.0}), family("a", {"x": 1.0, "a_total": 3.0})]
    (record,) = live_format.decode_records(slots.fit(more))
    assert [entry[2] for entry in record] == [["b_total"], ["x"]]
    assert list(slots.values(more)) == [3.0, 5.0, 1.0]


def test_a_changed_family_is_told_apart():
    slots = Slots()
    slots.fit([family("a", {"a": 1.0}, "gauge")])
    with pytest.raises(RearrangedError):
        slots.fit([family("a", {"a": 1.0}, "gauge", "max")])
    with pytest.raises(RearrangedError):
        slots.fit([])


def test_what_goes_along_comes_back():
    slots = Slots(service="billing")
    histogram = MetricFamily(
        MetricMetadata("d", "histogram"),
        ["d_count"],
        [1.0],
        exemplars={0: Exemplar({"trace_id": "x"}, 0.5, 9.0)},
    )
    gauges = family("g", {"g": 0.0, 'g{q="a"}': 2.0}, "gauge", "latest")
    slots.fit([gauges, histogram])
    times, exemplars = decode_extra(slots.beside([gauges, histogram], 7.0))
    # Without labels it is there before anybody sets it.
    assert times == {'g{service="billing"}': 0.0, 'g{service="billing",q="a"}': 7.0}
    assert exemplars == {2: Exemplar({"trace_id": "x"}, 0.5, 9.0)}
    assert decode_extra(b"") == ({}, {})


def test_a_label_that_looks_like_a_bound_is_none():
    def histogram(bounds: list[str], who: str) -> MetricFamily:
        keys = [series_key("d_bucket", {"who": who, "le": bound}) for bound in bounds]
        keys += [series_key("d_sum", {"who": who}), series_key("d_count", {"who": who})]
        return family("d", dict.fromkeys(keys, 1.0), "histogram")

    past = Retired()
    odd = published([histogram(["0.1", "+Inf"], "x,le=")], "odd")
    usual = published([histogram(["0.1", "+Inf"], "y")], "usual")
    assert len(merged(odd, usual)) == 8
    for one in (odd, usual):
        past.fold(one, 0.0)
    assert merged(past.published()) == merged(odd, usual)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a", 'a{service="x"}'),
        ('a{q="1"}', 'a{service="x",q="1"}'),
        ('a{service="own"}', 'a{service="x",exported_service="own"}'),
        ('a{q="1",service="own"}', 'a{service="x",q="1",exported_service="own"}'),
        ('a{q=",service=\\"z"}', 'a{service="x",q=",service=\\"z"}'),
        ('a{q="z,service="}', 'a{service="x",q="z,service="}'),
    ],
)
def test_a_label_is_added_in_front(key, expected):
    assert labelled(key, "service", "x") == expected


@roomy
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300), max_size=30)
)
def test_an_exact_sum_is_exact(numbers):
    partials: list[float] = []
    for number in numbers:
        partials = grown(partials, number)
    assert sum(map(Fraction, partials), Fraction()) == sum(map(Fraction, numbers), Fraction())


@pytest.mark.parametrize("number", [math.inf, math.nan])
def test_what_is_not_finite_stays_so(number):
    assert not math.isfinite(grown([1e-300, 1.0], number)[-1])


@roomy
@given(st.permutations(range(4)), st.lists(finite, min_size=4, max_size=4))
def test_a_total_does_not_depend_on_who_dies_when(order, values):
    series = [published([family("a", {"a_total": value})], str(n), n) for n, value in enumerate(values)]
    living = list(series)
    past = Retired()
    for index in order:
        assert merged(past.published(), *living)["a_total"] == math.fsum(values)
        past = retired.decode(retired.encode(past))
        past.fold(series[index], 0.0)
        living.remove(series[index])
    assert merged(past.published())["a_total"] == math.fsum(values)


def test_retired_sums_come_back():
    past = Retired(runs=[(7, "123", "boot")], marks={"x": 1.5})
    past.fold(
        Published(
            "w",
            0,
            0,
            [
                Column(MetricMetadata("a", "counter", "A."), "sum", 5.0, 1.0, ["a_total"], [0]),
                Column(MetricMetadata("l", "gauge", "L."), "latest", 0.0, 1.0, ["l"], [1]),
                Column(MetricMetadata("g", "gauge", "G."), "sum", 0.0, 1.0, ["g"], [2]),
            ],
            [0.1, 4.0, 9.0, 0.0],
            {"l": 20.0},
        ),
        2.5,
    )
    again = retired.decode(retired.encode(past))
    assert (again.runs, again.marks, again.sums) == (past.runs, {"x": 1.5, "w": 2.5}, past.sums)
    assert list(again.sums) == ["a", "l"]
    assert again.published().times == {"l": 20.0}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", DamagedError),
        (b"something else entirely, and long enough", DamagedError),
        (retired.encode(Retired())[:-1], DamagedError),
        (retired.encode(Retired())[:8] + b"\x09" + retired.encode(Retired())[9:], UnknownFormatError),
    ],
)
def test_other_bytes_are_no_retired_sums(content, error):
    with pytest.raises(error):
        retired.decode(content)


def test_marks_are_kept_while_anybody_may_need_them():
    past = Retired(marks={"old": 0.0, "there": 0.0, "new": 900.0, "before the machine started": 5000.0})
    past.prune(1000.0, {"there"})
    assert past.marks == {"there": 0.0, "new": 900.0, "before the machine started": 1000.0}


def test_a_dead_worker_of_an_older_kind_is_left_out_and_of_a_newer_one_right():
    past = Retired()
    past.fold(published([family("a", {"a_total": 5.0})], "new", started=2.0), 0.0)
    assert past.fold(published([family("a", {"a_count": 1.0}, "histogram")], "old", started=1.0), 0.0) == [
        "a"
    ]
    assert merged(past.published()) == {"a_total": 5.0}
    assert (
        past.fold(published([family("a", {"a_count": 1.0}, "histogram")], "newest", started=3.0), 0.0) == []
    )
    assert merged(past.published()) == {"a_count": 1.0}


def test_a_latest_gauge_of_the_dead_gives_way_to_a_later_one():
    past = Retired()
    for id_, value, time in (("a", 1.0, 20.0), ("b", 2.0, 10.0)):
        one = published([family("g", {"g": value}, "gauge", "latest")], id_)
        past.fold(Published(id_, 0, 0, one.columns, one.values, {"g": time}), 0.0)
    assert merged(past.published()) == {"g": 1.0}


def test_conflicts_are_told_with_their_worker():
    told = []
    merger = Merger(lambda worker, metric: told.append((worker, metric)))
    old = published([family("a", {"a_total": 5.0})], "old", started=1.0)
    new = published([family("a", {"a": 7.0}, "gauge")], "new", started=2.0)
    assert [one.metadata.kind for one in merger.merge([old, new])] == ["gauge"]
    assert told == [("old", "a")]


def test_the_rules_leave_out_what_is_no_number():
    parts = [published([family("g", {"g": value}, "gauge", "max")], str(value)) for value in (math.nan, 2.0)]
    assert merged(*parts) == {"g": 2.0}
    assert math.isnan(merged(parts[0])["g"])
    info = [published([family("i", {"i_info": 1.0}, "info", "max")], id_) for id_ in "ab"]
    assert merged(*info) == {"i_info": 1.0}


def crowd(first: int, end: int, service: str = "") -> MetricFamily:
    labels = [{"service": service} if service else {} for _ in range(first, end)]
    keys = [
        series_key("a_total", {**one, "user": str(user)})
        for one, user in zip(labels, range(first, end), strict=True)
    ]
    return family("a", dict.fromkeys(keys, 1.0))


@pytest.mark.parametrize(
    ("service", "overflow"), [("", {"user": "_overflow"}), ("shop", {"service": "shop", "user": "_overflow"})]
)
def test_the_dead_leave_no_more_series_than_a_service_may_have(service, overflow):
    assert (bounds.SERIES, bounds.OVERFLOW) == (MAX_SERIES, OVERFLOW)
    past = Retired()
    for index in range(4):
        worker = published([crowd(index * 1500, index * 1500 + 1500, service)], f"w{index}")
        past.fold(worker, 0.0)
    series = merged(past.published())
    assert len(series) == 2001
    assert series[series_key("a_total", overflow)] == 4000
    assert sum(series.values()) == 6000
    past.fold(published([crowd(0, 10, service)], "again"), 0.0)
    assert sum(value == 2 for value in merged(past.published()).values()) == 10


def test_a_label_called_service_does_not_keep_series_apart():
    past = Retired()
    for index in range(2):
        keys = [series_key("a_total", {"service": str(n)}) for n in range(index * 1500, index * 1500 + 1500)]
        past.fold(published([family("a", dict.fromkeys(keys, 1.0))], f"w{index}"), 0.0)
    series = merged(past.published())
    assert (len(series), series['a_total{service="_overflow"}']) == (2001, 1000)


def test_a_series_of_a_histogram_goes_into_the_overflow_whole():
    past = Retired()
    for index in range(3):
        values: dict[str, float] = {}
        for user in range(index * 1000, index * 1000 + 1000):
            for bound in ("1.0", "+Inf"):
                values[series_key("a_bucket", {"user": str(user), "le": bound})] = 2.0
            values |= {f'a_sum{{user="{user}"}}': 0.5, f'a_count{{user="{user}"}}': 2.0}
        past.fold(published([family("a", values, "histogram")], f"w{index}"), 0.0)
    series = merged(past.published())
    assert len(series) == 2001 * 4
    assert {key: value for key, value in series.items() if "_overflow" in key} == {
        'a_bucket{user="_overflow",le="1.0"}': 2000,
        'a_bucket{user="_overflow",le="+Inf"}': 2000,
        'a_sum{user="_overflow"}': 500,
        'a_count{user="_overflow"}': 2000,
    }


def test_latest_gauges_of_the_dead_go_when_nobody_set_them_for_long():
    past = Retired()
    keys = {f'g{{job="{job}"}}': float(job) for job in range(2100)}
    one = published([family("g", keys, "gauge", "latest"), family("a", {"a_total": 1.0})])
    past.fold(
        Published("w", 0, 0, one.columns, one.values, {key: 1000.0 + at for key, at in keys.items()}), 0.0
    )
    past.outlive(5000.0)
    assert set(merged(past.published())) == {"a_total", *list(keys)[100:]}
    past.outlive(1000.0 + 2090 + 35 * 86400)
    assert set(merged(past.published())) == {"a_total", *list(keys)[2090:]}
