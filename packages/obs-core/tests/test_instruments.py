import asyncio
import dis
import math
import sys
import threading

import pytest

from obs_core import Counter, DeclarationError, Gauge, Histogram, Registry

pytestmark = pytest.mark.unit


def values(registry: Registry) -> dict[str, float]:
    return {
        key: value
        for family in registry.collect()
        for key, value in zip(family.keys, family.values, strict=True)
    }


def test_a_counter_adds_one_by_default_and_any_amount():
    registry = Registry()
    orders = registry.counter("orders_total", "Orders placed.")
    orders.inc()
    orders.inc(2)
    orders.inc(0.5)
    assert values(registry) == {"orders_total": 3.5}


@pytest.mark.parametrize("amount", [-1, -0.001, math.nan, -math.inf])
def test_a_counter_refuses_what_would_not_grow_it_and_keeps_its_value(amount):
    counter = Counter()
    counter.inc(3)
    with pytest.raises(DeclarationError, match="only grows"):
        counter.inc(amount)
    assert counter.values() == (3.0,)


@pytest.mark.parametrize("amount", ["1", b"1", None, object(), [1]])
def test_what_is_no_number_is_refused_by_every_instrument(amount):
    registry = Registry()
    counter, gauge = Counter(), Gauge()
    histogram = registry.histogram("seconds", "Time.")
    for call in (counter.inc, gauge.inc, gauge.dec, gauge.set, histogram.observe):
        with pytest.raises(TypeError, match="a number is needed"):
            call(amount)
    assert counter.values() == gauge.values() == (0.0,)
    assert set(histogram.values()) == {0}


def test_labels_are_given_by_position_or_by_name():
    registry = Registry()
    orders = registry.counter("orders", "Orders.", labels=("plan", "country"))
    orders.labels("pro", "de").inc()
    orders.labels(country="de", plan="pro").inc()
    assert orders.labels("pro", "de") is orders.labels(country="de", plan="pro")
    assert values(registry) == {'orders_total{plan="pro",country="de"}': 2.0}


def test_label_values_that_are_no_text_are_their_text():
    registry = Registry()
    orders = registry.counter("orders", "Orders.", labels=("code",))
    orders.labels(200).inc()
    orders.labels("200").inc()
    orders.labels(True).inc()
    assert values(registry) == {'orders_total{code="200"}': 2.0, 'orders_total{code="True"}': 1.0}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((), {}),
        (("a", "b"), {}),
        ((), {"plam": "pro"}),
        ((), {"plan": "pro", "x": "y"}),
        (("a",), {"plan": "a"}),
    ],
)
def test_wrong_labels_are_refused_with_the_name_of_the_metric(given, named):
    orders = Registry().counter("orders", "Orders.", labels=("plan",))
    with pytest.raises(DeclarationError, match="orders"):
        orders.labels(*given, **named)


def test_using_a_metric_with_labels_without_them_says_what_to_call():
    orders = Registry().counter("orders", "Orders.", labels=("plan",))
    with pytest.raises(DeclarationError, match=r"orders has labels: call \.labels\(plan\) first"):
        orders.inc()


def test_labels_where_none_were_declared_or_all_are_given_are_refused():
    registry = Registry()
    with pytest.raises(DeclarationError, match="no labels were declared"):
        registry.counter("orders", "Orders.").labels("pro")
    with pytest.raises(DeclarationError, match="they were given"):
        registry.gauge("depth", "", labels=("queue",)).labels("a").labels("b")


def test_a_gauge_goes_up_and_down_and_may_be_a_function():
    registry = Registry()
    depth = registry.gauge("queue_depth", "Jobs waiting.")
    depth.set(5)
    depth.inc(2)
    depth.dec()
    jobs = registry.gauge("jobs", "Jobs.")
    jobs.set_function(lambda: 7)
    broken = registry.gauge("broken", "A function that fails.")
    broken.set_function(lambda: 1 / 0)
    seen = values(registry)
    assert (seen["queue_depth"], seen["jobs"]) == (6.0, 7.0)
    assert math.isnan(seen["broken"])


def test_only_a_gauge_forgets_a_series():
    registry = Registry()
    depth = registry.gauge("queue_depth", "Jobs waiting.", labels=("queue",))
    depth.labels("a").set(1)
    depth.labels("b").set(2)
    depth.remove("a")
    assert values(registry) == {'queue_depth{queue="b"}': 2.0}
    orders = registry.counter("orders", "Orders.", labels=("plan",))
    with pytest.raises(DeclarationError, match="only gauges"):
        orders.remove("pro")


def test_histogram_bounds_are_inclusive_and_buckets_cumulative():
    registry = Registry()
    spent = registry.histogram("spent_seconds", "Time.", buckets=(0.1, 1, 10))
    for value in (0.05, 0.1, 1, 5, 50):
        spent.observe(value)
    assert values(registry) == {
        'spent_seconds_bucket{le="0.1"}': 2,
        'spent_seconds_bucket{le="1.0"}': 3,
        'spent_seconds_bucket{le="10.0"}': 4,
        'spent_seconds_bucket{le="+Inf"}': 5,
        "spent_seconds_sum": 56.15,
        "spent_seconds_count": 5,
    }


def test_a_histogram_refuses_nan_and_counts_infinity():
    histogram = Histogram((1.0,))
    with pytest.raises(DeclarationError, match="NaN"):
        histogram.observe(math.nan)
    histogram.observe(math.inf)
    assert histogram.values() == [0, 1, math.inf, 1]


@pytest.mark.asyncio
async def test_time_observes_blocks_and_functions_that_fail_too():
    spent = Registry().histogram("spent", "Time.")

    @spent.time()
    def fail() -> None:
        raise ValueError("the host's own")

    @spent.time()
    async def wait() -> str:
        await asyncio.sleep(0)
        return "done"

    with spent.time():
        pass
    with pytest.raises(ValueError, match="the host's own"):
        fail()
    assert await wait() == "done"
    assert spent.values()[-1] == 3


@pytest.mark.parametrize("thing", [3, "name"])
def test_time_decorates_functions_only(thing):
    with pytest.raises(TypeError, match="decorates a function"):
        Registry().histogram("spent", "Time.").time()(thing)


def test_time_does_not_pretend_to_time_a_generator():
    def numbers():
        yield 1

    with pytest.raises(TypeError, match="generator"):
        Registry().histogram("spent", "Time.").time()(numbers)


def test_over_two_thousand_series_share_one_that_says_so():
    registry = Registry()
    orders = registry.counter("orders", "Orders.", labels=("user",))
    for user in range(2500):
        orders.labels(user).inc()
    seen = values(registry)
    assert seen['orders_total{user="_overflow"}'] == 500
    assert seen['obs_series_dropped_total{metric="orders"}'] == 500
    assert len(seen) == 2002


@pytest.mark.parametrize("make", [Counter, Gauge, lambda: Histogram((0.5,))])
def test_no_update_is_lost_between_threads(make):
    instrument = make()
    update = instrument.observe if isinstance(instrument, Histogram) else instrument.inc
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=lambda: [update(1) for _ in range(20_000)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert instrument.values()[-1] == 160_000


@pytest.mark.parametrize(
    ("function", "store"),
    [
        (Counter.inc, "STORE_ATTR"),
        (Gauge.inc, "STORE_ATTR"),
        (Gauge.dec, "STORE_ATTR"),
        (Histogram.observe, "STORE_SUBSCR"),
    ],
)
def test_nothing_is_called_between_load_and_store(function, store):
    names = [instruction.opname for instruction in dis.get_instructions(function)]
    end = max(index for index, name in enumerate(names) if name == store)
    begin = max(index for index in range(end) if names[index].startswith("BINARY_OP"))
    assert not any(name.startswith("CALL") for name in names[begin - 3 : end])
