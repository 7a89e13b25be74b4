import math
import time

import pytest

from obs_core import DeclarationError, Registry
from obs_core.process import process_metrics

pytestmark = pytest.mark.unit


def names(registry: Registry) -> list[str]:
    return [family.metadata.name for family in registry.collect()]


def test_declaring_the_same_twice_gives_the_same_instrument():
    registry = Registry()
    assert registry.counter("orders", "Orders.") is registry.counter("orders_total", "Orders, again.")
    assert registry.gauge("depth", "", labels=("q",)) is registry.gauge("depth", "", labels=["q"])


@pytest.mark.parametrize(
    "again",
    [
        lambda registry: registry.gauge("orders", ""),
        lambda registry: registry.counter("orders", "", labels=("plan",)),
        lambda registry: registry.histogram("orders", ""),
    ],
)
def test_declaring_differently_is_an_error_that_names_it(again):
    registry = Registry()
    registry.counter("orders_total", "Orders.")
    with pytest.raises(DeclarationError, match="orders is declared already as a counter"):
        again(registry)


def test_other_buckets_or_another_aggregate_are_another_declaration():
    registry = Registry()
    registry.histogram("spent", "", buckets=(1, 2))
    registry.gauge("depth", "", aggregate="sum")
    with pytest.raises(DeclarationError, match="buckets"):
        registry.histogram("spent", "", buckets=(1, 3))
    with pytest.raises(DeclarationError, match="depth"):
        registry.gauge("depth", "", aggregate="max")


@pytest.mark.parametrize("name", ["", "1st", "a-b", "a b", "é", "x\n", "_total"])
def test_a_bad_name_is_refused(name):
    with pytest.raises(DeclarationError, match="name"):
        Registry().counter(name, "")


@pytest.mark.parametrize("name", ["x_bucket", "x_sum", "x_count", "x_total", "x_created", "x_info"])
def test_a_name_that_another_kind_is_exposed_as_is_refused(name):
    with pytest.raises(DeclarationError, match="must not end in"):
        Registry().gauge(name, "")


@pytest.mark.parametrize("labels", [("1a",), ("a-b",), ("__x",), ("a", "a"), "plan", (1,)])
def test_bad_labels_are_refused(labels):
    with pytest.raises(DeclarationError, match="label"):
        Registry().counter("orders", "", labels=labels)


def test_le_is_reserved_for_histograms():
    with pytest.raises(DeclarationError, match="'le' of spent is reserved"):
        Registry().histogram("spent", "", labels=("le",))
    Registry().counter("orders", "", labels=("le",))


@pytest.mark.parametrize("buckets", [(), (2, 1), (1, 1), (float("nan"),), (float("inf"),), (float("nan"), 1)])
def test_buckets_that_do_not_grow_are_refused(buckets):
    with pytest.raises(DeclarationError, match=r"spent"):
        Registry().histogram("spent", "", buckets=buckets)


def test_an_infinite_last_bucket_is_the_one_that_is_added_anyway():
    registry = Registry()
    registry.histogram("spent", "", buckets=(1, float("inf")))
    assert list(registry.collect()[0].keys) == [
        'spent_bucket{le="1.0"}',
        'spent_bucket{le="+Inf"}',
        "spent_sum",
        "spent_count",
    ]


def test_an_unknown_aggregate_is_refused():
    with pytest.raises(DeclarationError, match="aggregate 'mean' of depth"):
        Registry().gauge("depth", "", aggregate="mean")


def test_families_are_collected_by_name_and_included_ones_among_them():
    application, library = Registry(), Registry()
    application.counter("b", "")
    library.counter("a", "")
    application.include(library)
    application.include(library)
    library.counter("c", "")
    assert names(application) == ["a", "b", "c"]


def test_an_included_registry_shares_its_names_with_the_application():
    application, library = Registry(), Registry()
    application.include(library)
    jobs = library.counter("jobs", "")
    assert application.counter("jobs", "") is jobs
    with pytest.raises(DeclarationError):
        application.gauge("jobs", "")
    assert names(application) == ["jobs"]


def test_registries_that_declare_the_same_name_cannot_be_joined():
    application, library = Registry(), Registry()
    application.counter("jobs", "")
    library.counter("jobs", "")
    with pytest.raises(DeclarationError, match="declared in both registries: jobs"):
        application.include(library)


def test_a_circle_of_registries_is_refused():
    first, second = Registry(), Registry()
    first.include(second)
    with pytest.raises(DeclarationError, match="includes it"):
        second.include(first)


def test_reset_sets_all_to_zero_and_keeps_what_was_bound():
    registry = Registry()
    orders = registry.counter("orders", "", labels=("plan",)).labels("pro")
    orders.inc(5)
    registry.reset()
    orders.inc()
    assert registry.collect()[0].values == [1.0]


def test_a_family_tells_its_rule_across_workers_and_since_when_it_counts():
    registry = Registry()
    before = time.time()
    registry.gauge("depth", "", aggregate="max")
    (family,) = registry.collect()
    assert family.aggregate == "max"
    assert before <= family.created <= time.time()
    registry.reset()
    assert registry.collect()[0].created >= family.created


@pytest.mark.parametrize(
    ("bound", "text"),
    [
        (1, "1.0"),
        (0.00001, "1e-05"),
        (100000, "100000.0"),
        (1e6, "1e+06"),
        (1234567, "1.234567e+06"),
        (1e12, "1e+12"),
    ],
)
def test_bounds_are_written_as_prometheus_itself_does(bound, text):
    registry = Registry()
    registry.histogram("spent", "", buckets=(bound,))
    assert registry.collect()[0].keys[0] == f'spent_bucket{{le="{text}"}}'


def test_a_unit_is_the_end_of_the_name():
    registry = Registry()
    registry.counter("spent_seconds_total", "", unit="seconds")
    registry.gauge("size_bytes", "", unit="bytes")
    registry.histogram("time_seconds", "", unit="seconds")
    assert [family.metadata.unit for family in registry.collect() if family.keys] == [
        "bytes",
        "seconds",
        "seconds",
    ]
    with pytest.raises(DeclarationError, match="size must end in _bytes"):
        registry.gauge("size", "", unit="bytes")


def test_the_label_of_a_worker_is_reserved_where_it_is_added():
    registry = Registry()
    registry.gauge("depth", "", labels=("worker",))
    with pytest.raises(DeclarationError, match="'worker' of memory is reserved"):
        registry.gauge("memory", "", labels=("worker",), aggregate="per_worker")


def test_a_help_that_utf8_cannot_hold_is_mended():
    registry = Registry()
    registry.counter("orders", "Orders \ud800.").inc()
    assert registry.collect()[0].metadata.help == "Orders ?."


def test_every_family_that_a_registry_adds_says_what_it_is():
    registry = Registry()
    orders = registry.counter("orders", "Orders.", labels=("plan",))
    for number in range(2001):
        orders.labels(number).inc()
    orders.labels("y" * 1000).inc(math.nan)
    registry.gauge("broken", "Broken.").set_function(lambda: 1 / 0)
    registry.collect()
    process_metrics(registry)
    own = [
        family.metadata for family in registry.collect() if family.metadata.name not in ("orders", "broken")
    ]
    assert [metadata.name for metadata in own if metadata.name.startswith("obs_")] == [
        "obs_gauge_functions_failed",
        "obs_label_values_cut",
        "obs_series_dropped",
        "obs_values_ignored",
    ]
    assert len(own) > 4
    assert all(metadata.help.endswith(".") for metadata in own)
