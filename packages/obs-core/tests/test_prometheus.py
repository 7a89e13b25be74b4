import asyncio
import math
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from obs_core import MetricFamily, MetricMetadata, MetricSample, Registry
from obs_core.encoders import encode_prometheus, exposition, parse_series_key, series_key
from obs_core.encoders._values import number_text

pytestmark = pytest.mark.unit

VALID_TEXT = st.text(st.characters(codec="utf-8"))


async def encoded(*items: MetricMetadata | MetricSample) -> str:
    return b"".join([chunk async for chunk in encode_prometheus(items)]).decode()


def sample(name: str, value: float, timestamp: float = 1.0, **labels: str) -> MetricSample:
    return MetricSample(name, value, timestamp, labels)


def test_a_registry_is_exposed_with_help_and_type_once_for_each_family():
    registry = Registry()
    orders = registry.counter("orders", "Orders\nplaced \\ paid.", labels=("plan",))
    orders.labels("pro").inc(3)
    orders.labels('a"} 1\nfake').inc()
    assert exposition(registry.collect()).decode() == (
        "# HELP orders_total Orders\\nplaced \\\\ paid.\n"
        "# TYPE orders_total counter\n"
        'orders_total{plan="pro"} 3\n'
        'orders_total{plan="a\\"} 1\\nfake"} 1\n'
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.0, "3"),
        (0.1, "0.1"),
        (-2.0, "-2"),
        (1e15, "1000000000000000"),
        (123456789012345678.0, "123456789012345680"),
        (1e300, "1e+300"),
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
    ],
)
def test_numbers_are_written_as_the_format_asks(value, text):
    family = MetricFamily(MetricMetadata("x", "gauge"), ["x"], [value])
    assert exposition([family]).endswith(f"\nx {text}\n".encode())


def test_a_family_without_a_series_is_left_out():
    registry = Registry()
    registry.counter("orders", "", labels=("plan",))
    assert exposition(registry.collect()) == b""


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(VALID_TEXT, VALID_TEXT, st.floats())
def test_the_peer_reads_back_what_is_exposed(value, help_text, number):
    registry = Registry()
    registry.gauge("depth", help_text, labels=("queue",)).labels(value).set(number)
    (family,) = text_string_to_metric_families(exposition(registry.collect()).decode())
    (read,) = family.samples
    assert read.labels == {"queue": value}
    assert read.value == number or (math.isnan(read.value) and math.isnan(number))


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]*", fullmatch=True), VALID_TEXT, max_size=4))
def test_a_series_key_is_read_back(labels):
    assert parse_series_key(series_key("orders_total", labels)) == ("orders_total", labels)


def test_a_lone_surrogate_in_a_label_does_not_break_the_exposition():
    registry = Registry()
    registry.counter("orders", "", labels=("plan",)).labels("a\ud800").inc()
    assert b'plan="a?"' in exposition(registry.collect())


@pytest.mark.asyncio
async def test_of_several_times_the_latest_is_given_and_families_are_contiguous():
    text = await encoded(
        MetricMetadata("a", "gauge", "A."),
        sample("a", 1, 10.0),
        MetricMetadata("orders", "counter", "Orders."),
        sample("orders_total", 5, 20.0),
        sample("orders_total", 4, 10.0),
        MetricMetadata("a", "gauge", "A."),
        sample("a", 2, 30.0),
    )
    assert text == (
        "# HELP a A.\n# TYPE a gauge\na 2\n# HELP orders_total Orders.\n# TYPE orders_total counter\norders_total 5\n"
    )


@pytest.mark.asyncio
async def test_samples_without_metadata_are_untyped():
    assert await encoded(sample("x", 1, code="2")) == '# HELP x \n# TYPE x untyped\nx{code="2"} 1\n'


@pytest.mark.asyncio
async def test_an_info_is_a_gauge_with_its_ending():
    text = await encoded(MetricMetadata("build", "info", ""), sample("build_info", 1, version="1"))
    assert text == '# HELP build_info \n# TYPE build_info gauge\nbuild_info{version="1"} 1\n'


@pytest.mark.asyncio
async def test_buckets_are_in_the_order_of_their_bounds():
    text = await encoded(
        MetricMetadata("spent", "histogram", ""),
        sample("spent_count", 3),
        sample("spent_bucket", 3, le="+Inf"),
        sample("spent_bucket", 2, le="10.0"),
        sample("spent_bucket", 1, le="2.0"),
        sample("spent_sum", 9),
    )
    assert [line.split()[0] for line in text.splitlines()[2:]] == [
        'spent_bucket{le="2.0"}',
        'spent_bucket{le="10.0"}',
        'spent_bucket{le="+Inf"}',
        "spent_sum",
        "spent_count",
    ]


@pytest.mark.asyncio
async def test_metadata_may_come_long_before_or_after_its_samples():
    text = await encoded(
        sample("orders_total", 1),
        MetricMetadata("spent", "histogram", "Spent."),
        MetricMetadata("orders", "counter", "Orders."),
        sample("loose", 7),
        sample("spent_sum", 1),
        sample("spent_bucket", 1, le="+Inf"),
        sample("spent_count", 1),
    )
    assert [line for line in text.splitlines() if line.startswith("# TYPE")] == [
        "# TYPE orders_total counter",
        "# TYPE spent histogram",
        "# TYPE loose untyped",
    ]
    assert text.index("spent_bucket") < text.index("spent_sum") < text.index("spent_count")


@pytest.mark.asyncio
async def test_the_order_of_labels_makes_no_other_series():
    text = await encoded(
        MetricMetadata("a", "gauge"), sample("a", 1, 1.0, x="1", y="2"), sample("a", 2, 2.0, y="2", x="1")
    )
    assert text.splitlines()[2:] == ['a{y="2",x="1"} 2']


@pytest.mark.asyncio
async def test_a_counter_with_and_without_its_ending_is_one_series():
    text = await encoded(
        MetricMetadata("orders", "counter"), sample("orders", 5, 2.0), sample("orders_total", 4, 1.0)
    )
    assert text.splitlines()[2:] == ["orders_total 5"]


@pytest.mark.asyncio
async def test_a_family_of_the_very_name_keeps_its_samples():
    text = await encoded(
        MetricMetadata("a", "histogram"),
        sample("a_count", 1),
        MetricMetadata("a_count", "gauge", "Its own."),
        sample("a_count", 2, 2.0),
    )
    assert text == "# HELP a_count Its own.\n# TYPE a_count gauge\na_count 2\n"


@pytest.mark.asyncio
async def test_the_last_metadata_of_a_family_counts():
    text = await encoded(
        MetricMetadata("a", "counter", "Old."), sample("a", 1), MetricMetadata("a", "gauge", "New.")
    )
    assert text == "# HELP a New.\n# TYPE a gauge\na 1\n"


@pytest.mark.asyncio
async def test_foreign_names_cannot_forge_a_line():
    text = await encoded(MetricSample("a b\nfake 1", 1.0, 1.0, {'x="1"} 2\n': "v", "a:b": "w"}))
    assert [line.split("{")[0].split(" ")[0] for line in text.splitlines()] == ["#", "#", "_a_b_fake_1"]
    (family,) = text_string_to_metric_families(text)
    assert family.samples[0].labels == {"_x__1___2_": "v", "a_b": "w"}


@pytest.mark.asyncio
async def test_values_and_labels_of_other_types_are_written_as_numbers_and_text():
    text = await encoded(MetricSample("a", Decimal("0.5"), 1.0, {"code": 200}), MetricSample("b", True, 1.0))
    assert 'a{code="200"} 0.5\n' in text
    assert "b 1\n" in text


@pytest.mark.asyncio
async def test_two_families_that_would_be_exposed_under_one_name_stay_apart():
    text = await encoded(
        MetricMetadata("a", "counter", "A."),
        sample("a", 1),
        MetricMetadata("a_total", "gauge", "Total."),
        sample("a_total", 2),
    )
    assert text == (
        "# HELP a A.\n# TYPE a untyped\na 1\n# HELP a_total Total.\n# TYPE a_total gauge\na_total 2\n"
    )


NAMES = st.sampled_from(["a", "b", "a_total", "a_count", "a_bucket", "b_info", "c"])
ITEMS = st.lists(
    st.builds(
        MetricMetadata,
        NAMES,
        st.sampled_from(["counter", "gauge", "histogram", "info", "unknown"]),
        VALID_TEXT,
    )
    | st.builds(
        MetricSample,
        NAMES,
        st.floats(),
        st.floats(min_value=0, max_value=3),
        st.dictionaries(st.sampled_from(["x", "y"]), VALID_TEXT, max_size=2),
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=500)
@given(ITEMS)
def test_whatever_comes_families_are_contiguous_and_no_series_comes_twice(items):
    text = asyncio.run(encoded(*items))
    typed = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    helped = [line.split()[2] for line in text.splitlines() if line.startswith("# HELP")]
    assert typed == helped
    assert len(set(typed)) == len(typed)
    seen = [
        (read.name, frozenset(read.labels.items()))
        for family in text_string_to_metric_families(text)
        for read in family.samples
    ]
    assert len(set(seen)) == len(seen)
    lines = [line.split("{")[0].split(" ")[0] for line in text.split("\n") if line and line[0] != "#"]
    assert len(lines) == len(seen)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(st.floats(allow_nan=False), max_size=20),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8, unique=True).map(
        sorted
    ),
)
def test_a_histogram_is_read_back_as_it_counted(observations, buckets):
    registry = Registry()
    spent = registry.histogram("spent", "Time.", buckets=buckets)
    for value in observations:
        spent.observe(value)
    (family,) = text_string_to_metric_families(exposition(registry.collect()).decode())
    read = {one.labels.get("le", one.name): one.value for one in family.samples}
    assert read["spent_count"] == read["+Inf"] == len(observations)
    for bound in buckets:
        (text,) = [le for le in read if le[0] in "-0123456789" and float(le) == bound]
        assert read[text] == sum(value <= bound for value in observations)


@settings(deadline=None)
@given(st.lists(st.floats() | st.integers(min_value=-(2**63) + 1, max_value=2**63 - 1), max_size=8))
def test_values_are_the_same_whichever_way_they_are_written(values):
    family = MetricFamily(MetricMetadata("x", "gauge"), [f'x{{n="{n}"}}' for n in range(len(values))], values)
    read = [line.rpartition(" ")[2] for line in exposition([family]).decode().splitlines()[2:]]
    assert read == [number_text(value) for value in values]
    for text, value in zip(read, values, strict=True):
        assert float(text) == float(value) or (math.isnan(value) and text == "NaN")
        if isinstance(value, int):
            assert text == str(value)
