import asyncio
import dis
import itertools
import math
import os
import sys
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable
from functools import partial

import pytest

from obs_core import Counter, DeclarationError, Gauge, Histogram, Registry, bind
from obs_core._exact import GIL, Tally
from obs_core._functions import Functions
from obs_core._queue import LogQueue

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


@pytest.mark.parametrize("amount", [-1, -0.001, -math.inf])
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


def failures(registry: Registry) -> float:
    return values(registry).get('obs_gauge_functions_failed_total{metric="jobs"}', 0.0)


def test_a_function_that_raises_is_counted_and_said_and_its_gauge_is_nan(capsys):
    registry = Registry()

    def count_jobs() -> float:
        raise ValueError("no queue")

    registry.gauge("jobs", "Jobs.").set_function(count_jobs)
    for _ in range(3):
        assert math.isnan(values(registry)["jobs"])
    assert failures(registry) == 4  # this collection too
    said = capsys.readouterr().err
    assert "count_jobs of a gauge failed, its gauge is NaN: ValueError: no queue" in said
    assert said.count("\n") == 1


def test_a_function_that_blocks_for_ever_holds_up_one_collection_and_no_other_gauge(capsys):
    registry = Registry()
    goes_on = threading.Event()
    asked_in = []

    def count_jobs() -> float:
        asked_in.append(threading.current_thread())
        goes_on.wait(60)
        return 7.0

    registry.gauge("jobs", "Jobs.").set_function(count_jobs)
    registry.gauge("depth", "Depth.").set_function(lambda: 3)
    for _ in range(20):
        seen = values(registry)
        assert math.isnan(seen["jobs"])
        assert seen["depth"] == 3
    assert (len(asked_in), failures(registry)) == (1, 1)
    assert "took over 0.25 s" in capsys.readouterr().err
    goes_on.set()
    asked_in[0].join(0.01)
    deadline = time.monotonic() + 30
    while math.isnan(values(registry)["jobs"]):
        assert time.monotonic() < deadline
    assert values(registry)["jobs"] == 7.0


def test_functions_that_block_for_ever_are_waited_for_together():
    registry = Registry()
    goes_on = threading.Event()
    jobs = registry.gauge("jobs", "Jobs.", labels=("queue",))
    for number in range(100):
        jobs.labels(str(number)).set_function(lambda: goes_on.wait(60))
    registry.gauge("depth", "Depth.").set_function(lambda: 3)
    begun = time.monotonic()
    seen = values(registry)
    assert time.monotonic() - begun < 5  # a fifth of what each would take by itself
    assert math.isnan(seen['jobs{queue="0"}'])
    assert seen["depth"] == 3
    assert failures(registry) == 100
    goes_on.set()


def test_many_functions_of_one_gauge_share_a_few_threads_and_all_answer(capsys):
    registry = Registry()
    most = []

    def count_jobs() -> float:
        most.append(sum(thread.name == "obs-gauges" for thread in threading.enumerate()))
        time.sleep(0.01)
        return 1.0

    jobs = registry.gauge("jobs", "Jobs.", labels=("queue",))
    for number in range(1000):
        jobs.labels(str(number)).set_function(count_jobs)
    deadline = time.monotonic() + 30
    while any(math.isnan(value) for value in values(registry).values()):
        assert time.monotonic() < deadline
    assert max(most) <= 32 + 2  # two of them wait for what comes next
    assert capsys.readouterr().err.count("\n") <= 1


def at_once(seconds: float, *works: Callable[[], object]) -> list[Exception]:
    """What these raised, done again and again at once, each in a thread that is interrupted often."""
    ends, errors = time.monotonic() + seconds, []

    def repeat(work: Callable[[], object]) -> None:
        while time.monotonic() < ends:
            try:
                work()
            except Exception as error:
                errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    return errors


def test_a_function_is_called_by_one_collection_at_a_time():
    registry = Registry()
    running, twice = [], []

    def count_jobs() -> float:
        running.append(1)
        twice.append(len(running) > 1)
        running.pop()
        return 1.0

    registry.gauge("jobs", "Jobs.").set_function(count_jobs)
    assert at_once(1.0, *4 * [registry.collect]) == []
    assert not any(twice)


def test_functions_may_be_given_while_others_are_asked():
    class Quick:
        def ask(self) -> None:
            pass

    functions = Functions()
    kept = [Quick() for _ in range(300)]
    turns = itertools.count()
    errors = at_once(
        1.0, functions.ask, lambda: functions.add(Quick()), lambda: functions.add(kept[next(turns) % 300])
    )
    assert errors == []


def test_a_function_that_collects_does_not_ask_itself():
    registry = Registry()
    registry.gauge("jobs", "Jobs.").set_function(lambda: len(registry.collect()))
    assert values(registry)["jobs"] == 1.0


def test_the_functions_of_a_forked_child_answer_though_a_parents_was_being_asked():
    registry = Registry()
    parent, hold = os.getpid(), threading.Event()

    def count_jobs() -> float:
        if os.getpid() == parent:
            hold.wait(60)
        return 7.0

    registry.gauge("jobs", "Jobs.").set_function(count_jobs)
    registry.gauge("depth", "Depth.").set_function(lambda: 3)
    assert math.isnan(values(registry)["jobs"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fork with threads is what this is about
        child = os.fork()
    if child == 0:
        deadline = time.monotonic() + 30
        while (seen := values(registry))["jobs"] != 7.0 and time.monotonic() < deadline:
            pass
        os._exit(0 if (seen["jobs"], seen["depth"]) == (7.0, 3.0) else 1)
    assert os.waitpid(child, 0)[1] == 0
    hold.set()


def test_a_gauge_of_the_latest_says_when_it_was_set(monkeypatch):
    now = [100.25]
    monkeypatch.setattr("obs_core._latest.time", lambda: now[0])
    registry = Registry()
    active = registry.gauge("active", "Who is active.", labels=("who",), aggregate="latest")
    active.labels("a").set(1)
    active.labels("b")
    now[0] = 100.5
    active.labels("c").inc()
    active.labels("a").inc(math.nan)  # ignored
    active.labels("d").set_function(lambda: 4)
    (family, *_) = registry.collect()
    assert (family.values, family.set_at) == ([1.0, 0.0, 1.0, 4.0], [100.25, 0.0, 100.5, 100.5])
    now[0] = 101.5
    active.labels("a").set(1)
    (family, *_) = registry.collect()
    assert family.set_at == [101.5, 0.0, 100.5, 100.5]
    registry.reset()
    (family, *_) = registry.collect()
    assert family.set_at[:3] == [0.0, 0.0, 0.0]


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


def test_nan_is_ignored_and_counted_and_never_raised():
    registry = Registry()
    total = registry.counter("orders", "Orders.", labels=("plan",))
    depth, jobs = registry.gauge("depth", "Depth."), registry.gauge("jobs", "Jobs.")
    seconds = registry.histogram("seconds", "Time.", buckets=(1,))
    total.labels("pro").inc(3)
    before = values(registry)
    for update in (total.labels("pro").inc, total.labels("pro").inc, depth.inc, depth.dec, seconds.observe):
        update(math.nan)
    after = values(registry)
    assert {key: after.pop(key) for key in list(after) if key.startswith("obs_")} == {
        'obs_values_ignored_total{metric="depth"}': 2,
        'obs_values_ignored_total{metric="orders"}': 2,
        'obs_values_ignored_total{metric="seconds"}': 1,
    }
    assert after == before
    jobs.set(math.nan)  # the next one takes its place
    assert math.isnan(values(registry)["jobs"])


def test_infinity_is_counted():
    histogram, counter = Histogram((1.0,)), Counter()
    histogram.observe(math.inf)
    counter.inc(math.inf)
    assert (histogram.values(), counter.values()) == ([0, 1, math.inf, 1], (math.inf,))


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


class Waiting:
    async def __call__(self) -> None:
        await asyncio.sleep(0.02)

    @staticmethod
    async def wait() -> None:
        await asyncio.sleep(0.02)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "function", [partial(Waiting.wait), Waiting(), staticmethod(Waiting.wait), Waiting().__call__]
)
async def test_time_waits_for_whatever_is_awaited(function):
    spent = Registry().histogram("spent", "Time.")
    await spent.time()(function)()
    assert spent.values()[-2] > 0.01


@pytest.mark.parametrize("thing", [3, "name", classmethod(len), None])
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


@pytest.mark.parametrize("kind", ["counter", "gauge", "histogram"])
def test_the_bound_counts_the_series_of_the_whole_service(kind):
    here, elsewhere = Registry(), Registry()
    mine, theirs = (getattr(one, kind)("orders", "Orders.", labels=("user",)) for one in (here, elsewhere))
    for user in range(1999):
        theirs.labels(user)
    here.hold_to(elsewhere.collect())
    mine.labels("new")
    theirs.labels("new")
    here.hold_to(elsewhere.collect())
    mine.labels("7")
    mine.labels("newer")
    keys = " ".join(values(here))
    assert 'user="7"' in keys
    assert 'user="newer"' not in keys
    assert 'user="_overflow"' in keys
    assert values(here)['obs_series_dropped_total{metric="orders"}'] == 1
    here.reset()
    mine.labels("newest")
    assert 'user="newest"' in " ".join(values(here))


def test_gauges_of_each_worker_are_bounded_by_worker():
    here, elsewhere = Registry(), Registry()
    mine, theirs = (one.gauge("a", "", labels=("n",), aggregate="per_worker") for one in (here, elsewhere))
    for number in range(2000):
        theirs.labels(number)
    here.hold_to(elsewhere.collect())
    mine.labels("new").set(1)
    assert values(here) == {'a{n="new"}': 1.0}


def test_label_values_over_their_bound_are_cut_and_counted():
    registry = Registry()
    orders = registry.counter("orders", "Orders.", labels=("user",))
    orders.labels("u" * 512).inc()
    orders.labels("u" * 513).inc()
    orders.labels("u" * 5000).inc()
    assert values(registry) == {
        f'orders_total{{user="{"u" * 512}"}}': 1.0,
        f'orders_total{{user="{"u" * 509}..."}}': 2.0,
        'obs_label_values_cut_total{metric="orders"}': 2.0,
    }


def test_label_values_that_read_alike_are_one_series():
    registry = Registry()
    orders = registry.counter("orders", "Orders.", labels=("plan",))
    for value in ("a\ud800", "a\udfff", "a?"):
        orders.labels(value).inc()
    assert values(registry) == {'orders_total{plan="a?"}': 3.0}


def test_a_label_value_may_be_anything_with_a_text():
    registry = Registry()
    orders = registry.counter("orders", "Orders.", labels=("plan",))
    orders.labels(["not", "hashable"]).inc()
    orders.labels(None).inc()
    assert set(values(registry)) == {
        "orders_total{plan=\"['not', 'hashable']\"}",
        'orders_total{plan="None"}',
    }


def test_a_flood_of_label_values_leaves_memory_bounded():
    tracemalloc.start()
    try:
        registry = Registry()
        orders = registry.counter("orders", "Orders.", labels=("user",))
        for user in range(10_000):
            orders.labels(f"user-{user}").inc()
        registry.collect()
        after_the_bound, _ = tracemalloc.get_traced_memory()
        for user in range(10_000, 60_000):
            orders.labels(f"user-{user}").inc()
        registry.collect()
        assert tracemalloc.get_traced_memory()[0] - after_the_bound < 20_000
    finally:
        tracemalloc.stop()


def test_keys_stay_the_same_list_while_no_series_comes_or_goes():
    registry = Registry()
    depth = registry.gauge("depth", "", labels=("queue",))
    depth.labels("a").set(1)
    (before,) = registry.collect()
    depth.labels("a").set(2)
    assert registry.collect()[0].keys is before.keys
    depth.labels("b").set(3)
    depth.remove("a")
    (after,) = registry.collect()
    assert (list(after.keys), list(after.values)) == (['depth{queue="b"}'], [3.0])
    assert list(before.keys) == ['depth{queue="a"}']


def test_series_that_come_while_others_collect_stay_with_their_values():
    registry = Registry()
    depth = registry.gauge("depth", "", labels=("number",))
    stop = threading.Event()

    def add() -> None:
        number = 0
        while not stop.is_set() and number < 1900:
            depth.labels(number).set(number)
            number += 1

    thread = threading.Thread(target=add)
    thread.start()
    try:
        for _ in range(200):
            (family,) = registry.collect()
            assert all(
                f'"{int(value)}"' in key or value == 0
                for key, value in zip(family.keys, family.values, strict=True)
            )
    finally:
        stop.set()
        thread.join()


def test_keys_and_values_stay_together_while_series_come_and_go():
    registry = Registry()
    depth = registry.gauge("depth", "", labels=("number",))
    build = registry.info("build", "", labels=("number",))
    stop = threading.Event()

    def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            depth.labels(number).set(number)
            depth.remove(number - 1)
            build.set(number=number)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(2000):
            for family in registry.collect():
                if family.metadata.name == "depth":
                    for key, value in zip(family.keys, family.values, strict=True):
                        assert value == 0 or f'"{int(value)}"' in key
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)
    build.set(number="last")
    assert 'build_info{number="last"}' in values(registry)


def test_an_info_says_what_was_set_last():
    registry = Registry()
    build = registry.info("build", "What runs.", labels=("version", "commit"))
    assert registry.info("build_info", "", labels=["version", "commit"]) is build
    build.set(version="1.1", commit="a")
    build.set(version="1.2", commit="b")
    assert values(registry) == {'build_info{version="1.2",commit="b"}': 1.0}
    registry.reset()
    (family,) = registry.collect()
    assert (family.metadata.kind, family.aggregate, family.values) == ("info", "max", [1.0])
    with pytest.raises(DeclarationError, match="build needs the labels"):
        build.set(version="1.3")
    with pytest.raises(DeclarationError, match="needs labels"):
        registry.info("nothing", "", labels=())


def test_an_exemplar_stays_until_it_was_collected_and_for_a_second_in_each_bucket(monkeypatch):
    now = 1000.0
    monkeypatch.setattr("obs_core._instruments.time", lambda: now)
    histogram = Histogram((1.0, 2.0))
    histogram.observe(0.5)
    assert histogram.exemplars() == {}
    with bind(trace_id="a1"):
        histogram.observe(0.5)
        histogram.observe(0.6)
        histogram.observe(1.5)
        now += 1.0
        histogram.observe(0.65)
        assert histogram.exemplars()[0].value == 0.5
        histogram.observe(0.7)
    assert {index: (one.value, one.timestamp) for index, one in histogram.exemplars().items()} == {
        0: (0.7, 1001.0),
        1: (1.5, 1000.0),
    }
    with bind(trace_id="a2"):
        histogram.observe(0.75)
        assert histogram.exemplars()[0].value == 0.7  # not a second old
        now -= 3600
        histogram.exemplars()
        histogram.observe(0.8)
    assert histogram.exemplars()[0].labels == {"trace_id": "a2"}
    histogram.reset()
    assert histogram.exemplars() == {}


@pytest.mark.parametrize(
    "context", [{"request_id": "r"}, {"trace_id": ""}, {"trace_id": 'a"'}, {"trace_id": 7}]
)
def test_what_names_no_trace_is_no_exemplar(context):
    histogram = Histogram((1.0,))
    with bind(**context):
        histogram.observe(0.5)
    assert histogram.exemplars() == {}


def test_exemplars_are_at_the_place_of_their_bucket():
    registry = Registry()
    spent = registry.histogram("spent", "", labels=("kind",), buckets=(1, 2))
    spent.labels("a").observe(0.5)
    with bind(trace_id="a1"):
        spent.labels("b").observe(1.5)
    (family,) = registry.collect()
    ((place, exemplar),) = family.exemplars.items()
    assert family.keys[place] == 'spent_bucket{kind="b",le="2.0"}'
    assert exemplar.value == 1.5


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
        (Histogram.observe, "STORE_ATTR"),
        (Tally.ignore, "STORE_ATTR"),
        (Tally.fail, "STORE_ATTR"),
        (LogQueue.put, "STORE_SUBSCR"),
        (LogQueue.put, "STORE_ATTR"),
        (LogQueue.refuse, "STORE_SUBSCR"),
        (LogQueue.drain, "STORE_ATTR"),
        (LogQueue._evict, "STORE_ATTR"),
        (LogQueue._evict, "STORE_SUBSCR"),
    ],
)
def test_nothing_is_called_between_load_and_store(function, store):
    if not GIL:
        function = getattr(function, "__wrapped__", function)
    names = [instruction.opname for instruction in dis.get_instructions(function)]
    additions = [index for index, name in enumerate(names) if name.startswith("BINARY_OP")]
    stores = [index for index, name in enumerate(names) if name == store]
    # An update in place ends in a store; what was loaded for it stands in the few steps before.
    ends = [end for end in stores if any(end - 4 <= begin < end for begin in additions)]
    assert ends
    for end in ends:
        assert not any(name.startswith("CALL") for name in names[end - 6 : end])
