import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from obs_core import Exemplar, MetricFamily, MetricMetadata, Registry, bind
from obs_core.encoders import CONTENT_TYPE_OPENMETRICS, exposition

pytestmark = pytest.mark.unit

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
ROOMY = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


def text_of(registry: Registry) -> str:
    return exposition(registry.collect(), openmetrics=True).decode()


def read(registry: Registry) -> dict:
    return {family.name: family for family in text_string_to_metric_families(text_of(registry))}


def test_the_content_type_is_exact():
    assert CONTENT_TYPE_OPENMETRICS == "application/openmetrics-text; version=1.0.0; charset=utf-8"


def test_an_exposition_ends_with_its_mark_even_when_empty():
    assert exposition([], openmetrics=True) == b"# EOF\n"


def test_a_counter_is_named_without_total_and_tells_since_when_it_counts():
    family = MetricFamily(
        MetricMetadata("orders", "counter", 'Orders "placed" \\ paid.\nAll.'),
        ['orders_total{plan="pro"}', 'orders_total{plan="free"}'],
        [3.0, 0.5],
        created=1764000000.5,
    )
    assert exposition([family], openmetrics=True).decode() == (
        "# TYPE orders counter\n"
        '# HELP orders Orders \\"placed\\" \\\\ paid.\\nAll.\n'
        'orders_total{plan="pro"} 3\n'
        'orders_created{plan="pro"} 1764000000.500\n'
        'orders_total{plan="free"} 0.5\n'
        'orders_created{plan="free"} 1764000000.500\n'
        "# EOF\n"
    )


@pytest.mark.parametrize("created", [0.0, -1.0, math.inf, math.nan])
def test_where_it_is_not_known_since_when_nothing_is_said(created):
    family = MetricFamily(MetricMetadata("orders", "counter"), ["orders_total"], [3.0], created=created)
    assert exposition([family], openmetrics=True) == b"# TYPE orders counter\norders_total 3\n# EOF\n"


def test_units_and_infos_are_shown():
    registry = Registry()
    registry.gauge("age_seconds", "Age.", unit="seconds").set(2)
    registry.info("build_info", "What runs.", labels=("version",)).set(version="1.2")
    assert text_of(registry) == (
        "# TYPE age_seconds gauge\n# UNIT age_seconds seconds\n# HELP age_seconds Age.\nage_seconds 2\n"
        '# TYPE build info\n# HELP build What runs.\nbuild_info{version="1.2"} 1\n# EOF\n'
    )
    assert read(registry)["age_seconds"].unit == "seconds"


def test_a_unit_that_is_not_in_the_name_is_left_out():
    family = MetricFamily(MetricMetadata("age", "gauge", unit="seconds"), ["age"], [1.0])
    assert b"UNIT" not in exposition([family], openmetrics=True)


def test_an_unknown_kind_is_unknown():
    family = MetricFamily(MetricMetadata("x"), ["x"], [1.0])
    assert exposition([family], openmetrics=True) == b"# TYPE x unknown\nx 1\n# EOF\n"


def test_a_histogram_shows_the_trace_that_a_bucket_counted():
    registry = Registry()
    spent = registry.histogram("spent_seconds", "", labels=("kind",), buckets=(0.1, 1))
    for kind in ("a", "b"):
        with bind(trace_id=TRACE):
            spent.labels(kind).observe(0.5)
        spent.labels(kind).observe(0.01)
    buckets = [
        sample for sample in read(registry)["spent_seconds"].samples if sample.name.endswith("_bucket")
    ]
    assert [sample.exemplar and sample.exemplar.labels for sample in buckets] == [
        None,
        {"trace_id": TRACE},
        None,
    ] * 2
    assert buckets[1].exemplar.value == 0.5
    assert "#" not in exposition(registry.collect()).decode().replace("# HELP", "").replace("# TYPE", "")


def test_an_exemplar_that_the_format_forbids_is_left_out():
    family = MetricFamily(
        MetricMetadata("orders", "counter"),
        ["orders_total"],
        [3.0],
        exemplars={0: Exemplar({"trace_id": "x" * 200}, 1.0, 1.0)},
    )
    assert b" # " not in exposition([family], openmetrics=True).replace(b"# EOF", b"")


def test_a_counter_may_have_an_exemplar_too():
    family = MetricFamily(
        MetricMetadata("orders", "counter"), ["orders_total"], [3.0], exemplars={0: Exemplar({}, 1.5, 2.0)}
    )
    assert b"orders_total 3 # {} 1.5 2.000\n" in exposition([family], openmetrics=True)


@pytest.mark.parametrize(
    ("buckets", "values"), [((-1, 1), [0.5]), ((1, 2), [-5.0]), ((1,), [math.inf, -math.inf])]
)
def test_sums_that_could_fall_are_left_out_with_their_count(buckets, values):
    registry = Registry()
    spent = registry.histogram("spent", "", buckets=buckets)
    for value in values:
        spent.observe(value)
    names = {sample.name for sample in read(registry)["spent"].samples}
    assert names == {"spent_bucket", "spent_created"}


@ROOMY
@given(
    TEXT,
    TEXT | st.just(TRACE),
    st.lists(st.tuples(TEXT, st.floats(min_value=0)), max_size=5),
    st.lists(st.tuples(TEXT, st.floats(allow_nan=False)), max_size=5),
    st.lists(st.tuples(TEXT, st.floats()), max_size=5),
    st.lists(st.floats(min_value=-1e9, max_value=1e12), min_size=1, max_size=5, unique=True).map(sorted),
)
def test_the_peer_reads_back_what_is_exposed(help_text, trace_id, counts, observations, levels, buckets):
    registry = Registry()
    orders = registry.counter("orders", help_text, labels=("plan",))
    spent = registry.histogram("spent_seconds", help_text, labels=("kind",), buckets=buckets, unit="seconds")
    depth = registry.gauge("depth", help_text, labels=("queue",))
    with bind(trace_id=trace_id):
        for label, value in counts:
            orders.labels(label).inc(value)
        for label, value in observations:
            spent.labels(label).observe(value)
    for label, value in levels:
        depth.labels(label).set(value)
    families = read(registry)
    for family in registry.collect():
        if family.keys:
            assert families[family.metadata.name].documentation.strip() == help_text.strip()
    seen = {sample.labels["queue"]: sample.value for sample in samples(families, "depth")}
    assert seen.keys() == dict(levels).keys()
    for label, value in dict(levels).items():
        assert seen[label] == value or (math.isnan(value) and math.isnan(seen[label]))
    counted = [one for one in samples(families, "spent_seconds") if one.labels.get("le") == "+Inf"]
    assert sum(sample.value for sample in counted) == len(observations)


def samples(families: dict, name: str) -> list:
    return families[name].samples if name in families else []
