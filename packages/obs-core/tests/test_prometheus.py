import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from obs_core import MetricFamily, MetricMetadata, MetricSample, Registry
from obs_core.encoders import encode_prometheus, exposition, parse_series_key, series_key

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
