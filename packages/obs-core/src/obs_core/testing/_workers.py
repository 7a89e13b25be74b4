"""What every board of workers must do. A subclass gives a fixture `board`: where workers join and die."""

import random
from collections.abc import Iterable, Sequence
from math import fsum
from time import time
from typing import Protocol

import pytest

from obs_core import Exemplar, MetricFamily, MetricMetadata, Registry, WorkersPort


class BoardUnderTest(Protocol):
    """Empty at first, and nobody else's."""

    def join(self) -> WorkersPort:
        """One worker more."""

    def leave(self, worker: WorkersPort) -> None:
        """The worker is killed, and others have taken note of it when this returns."""


def shown(families: Iterable[MetricFamily]) -> dict[str, float]:
    """Every series by its key; fails where one is there twice."""
    pairs = [pair for family in families for pair in zip(family.keys, family.values, strict=True)]
    assert len(pairs) == len(dict(pairs)), "a series is there twice"
    return dict(pairs)


def gauge(
    name: str, value: float, aggregate: str, labels: str = "", set_at: Sequence[float] = ()
) -> MetricFamily:
    metadata = MetricMetadata(name, "gauge", "A gauge.")
    return MetricFamily(metadata, [name + labels], [value], aggregate, set_at=set_at)


def counter(name: str, value: float, help_text: str = "A counter.", created: float = 0.0) -> MetricFamily:
    return MetricFamily(
        MetricMetadata(name, "counter", help_text), [f"{name}_total"], [value], created=created
    )


def histogram(counts: dict[str, float]) -> MetricFamily:
    keys = [*(f'd_bucket{{le="{bound}"}}' for bound in counts), "d_sum", "d_count"]
    values = [*counts.values(), 1.5, counts["+Inf"]]
    return MetricFamily(MetricMetadata("d", "histogram", "A histogram."), keys, values)


class WorkersConformance:
    """For a `WorkersPort`."""

    def test_counters_and_histograms_are_summed_over_the_workers(self, board: BoardUnderTest) -> None:
        workers = [board.join() for _ in range(3)]
        for number, worker in enumerate(workers):
            registry = Registry()
            orders = registry.counter("orders", "Orders.", labels=("plan",))
            orders.labels("pro").inc(number)
            orders.labels(f"p{number}").inc()
            registry.histogram("d", "Time.", buckets=(1.0,)).observe(number)
            worker.publish(registry.collect())
        for worker in workers:
            series = shown(worker.collect())
            assert series['orders_total{plan="pro"}'] == 3
            assert [series[f'orders_total{{plan="p{number}"}}'] for number in range(3)] == [1, 1, 1]
            assert (series['d_bucket{le="1.0"}'], series["d_sum"], series["d_count"]) == (2, 3, 3)

    def test_families_come_by_name(self, board: BoardUnderTest) -> None:
        worker = board.join()
        worker.publish([counter(name, 1.0) for name in ("b", "c", "a")])
        names = [family.metadata.name for family in worker.collect()]
        assert names == sorted(names)
        assert {"a", "b", "c"} <= set(names)

    def test_a_collection_shows_what_was_published_and_publishes_nothing(self, board: BoardUnderTest) -> None:
        first, second = board.join(), board.join()
        first.publish([counter("a", 1.0)])
        second.publish([])
        assert shown(second.collect())["a_total"] == 1
        first.publish([counter("a", 5.0)])
        first.publish([counter("a", 5.0)])
        assert shown(second.collect())["a_total"] == 5
        assert shown(second.collect())["a_total"] == 5

    def test_each_gauge_has_its_rule(self, board: BoardUnderTest) -> None:
        workers = [board.join() for _ in range(3)]
        for value, worker in zip((2.0, 7.0, 3.0), workers, strict=True):
            rules = ("sum", "max", "min", "latest", "per_worker")
            worker.publish([gauge(f"g_{rule}", value, rule, '{q="a"}') for rule in rules])
        series = shown(workers[0].collect())
        assert (series['g_sum{q="a"}'], series['g_max{q="a"}'], series['g_min{q="a"}']) == (12, 7, 2)
        assert series['g_latest{q="a"}'] == 3
        assert sorted(value for key, value in series.items() if "g_per_worker{" in key) == [2, 3, 7]
        assert sum('worker="' in key for key in series) == 3

    def test_the_latest_gauge_is_the_one_that_changed_last(self, board: BoardUnderTest) -> None:
        first, second = board.join(), board.join()
        first.publish([gauge("g", 0.0, "latest")])
        second.publish([gauge("g", 4.0, "latest")])
        assert shown(first.collect())["g"] == 4
        first.publish([gauge("g", 1.0, "latest")])
        second.publish([gauge("g", 4.0, "latest"), counter("other", 1.0)])
        assert shown(second.collect())["g"] == 1

    def test_the_latest_gauge_is_the_one_that_was_set_last_whoever_publishes_last(
        self, board: BoardUnderTest
    ) -> None:
        first, second = board.join(), board.join()
        now = time() // 1
        second.publish([gauge("g", 2.0, "latest", set_at=[now + 0.5])])
        first.publish([gauge("g", 1.0, "latest", set_at=[now + 0.25])])
        assert shown(first.collect())["g"] == 2
        first.publish([gauge("g", 3.0, "latest", set_at=[now + 0.499])])
        assert shown(second.collect())["g"] == 2
        board.leave(second)
        assert shown(first.collect())["g"] == 2
        first.publish([gauge("g", 3.0, "latest", set_at=[now + 0.501])])
        assert shown(first.collect())["g"] == 3

    def test_a_dead_worker_leaves_its_totals_and_its_latest_gauges(self, board: BoardUnderTest) -> None:
        first, second = board.join(), board.join()
        registry = Registry()
        registry.histogram("d", "Time.", buckets=(1.0,)).observe(0.5)
        gauges = [gauge(f"g_{rule}", 3.0, rule, '{q="a"}') for rule in ("sum", "max", "per_worker", "latest")]
        first.publish([counter("a", 2.0), *registry.collect(), *gauges])
        second.publish([counter("a", 1.0)])
        board.leave(first)
        series = shown(second.collect())
        assert (series["a_total"], series["d_count"], series['d_bucket{le="1.0"}']) == (3, 1, 1)
        assert [key for key in series if key.startswith("g_")] == ['g_latest{q="a"}']

    def test_the_number_of_a_dead_worker_is_given_again(self, board: BoardUnderTest) -> None:
        def numbers(worker: WorkersPort) -> list[str]:
            return sorted(key for key in shown(worker.collect()) if key.startswith("g{"))

        workers = [board.join() for _ in range(3)]
        for worker in workers:
            worker.publish([gauge("g", 1.0, "per_worker")])
        assert numbers(workers[0]) == [f'g{{worker="{number}"}}' for number in range(3)]
        board.leave(workers[1])
        assert numbers(workers[0]) == ['g{worker="0"}', 'g{worker="2"}']
        board.join().publish([gauge("g", 1.0, "per_worker")])
        assert numbers(workers[0]) == [f'g{{worker="{number}"}}' for number in range(3)]

    def test_a_series_that_is_not_published_any_more_is_gone(self, board: BoardUnderTest) -> None:
        worker = board.join()
        metadata = MetricMetadata("g", "gauge")
        worker.publish([MetricFamily(metadata, ['g{q="a"}', 'g{q="b"}'], [1.0, 2.0]), counter("a", 1.0)])
        worker.publish([MetricFamily(metadata, ['g{q="b"}'], [3.0]), counter("a", 2.0)])
        series = shown(worker.collect())
        assert (series['g{q="b"}'], series["a_total"]) == (3, 2)
        assert 'g{q="a"}' not in series

    def test_series_may_come_in_another_order(self, board: BoardUnderTest) -> None:
        worker = board.join()
        metadata = MetricMetadata("a", "counter")
        worker.publish([MetricFamily(metadata, ["a_total"], [1.0]), counter("b", 5.0)])
        worker.publish([counter("b", 6.0), MetricFamily(metadata, ['a_total{q="x"}', "a_total"], [2.0, 1.0])])
        series = shown(worker.collect())
        assert (series["a_total"], series['a_total{q="x"}'], series["b_total"]) == (1, 2, 6)

    def test_help_is_the_newest_and_created_the_earliest(self, board: BoardUnderTest) -> None:
        first, second = board.join(), board.join()
        first.publish([counter("a", 1.0, "Old.", created=20.0)])
        second.publish([counter("a", 1.0, "New.", created=10.0)])
        for _ in range(2):
            (family,) = [family for family in second.collect() if family.metadata.name == "a"]
            assert (family.metadata.help, family.created, family.values) == ("New.", 10.0, [2.0])
            board.leave(first)

    def test_of_two_kinds_the_newest_workers_is_right(self, board: BoardUnderTest) -> None:
        first, second = board.join(), board.join()
        first.publish([counter("a", 1.0), counter("b", 1.0)])
        second.publish([gauge("a", 7.0, "sum"), counter("b", 1.0)])
        for _ in range(2):
            families = second.collect()
            assert [family.metadata.kind for family in families if family.metadata.name == "a"] == ["gauge"]
            assert (shown(families)["a"], shown(families)["b_total"]) == (7, 2)
            board.leave(first)

    def test_histograms_with_other_buckets_are_summed_over_the_common_ones(
        self, board: BoardUnderTest
    ) -> None:
        first, second = board.join(), board.join()
        first.publish([histogram({"1.0": 1, "2.0": 2, "+Inf": 4})])
        second.publish([histogram({"2.0": 3, "5.0": 4, "+Inf": 5})])
        for _ in range(2):
            series = shown(second.collect())
            assert list(series.items())[:4] == [
                ('d_bucket{le="2.0"}', 5),
                ('d_bucket{le="+Inf"}', 9),
                ("d_sum", 3),
                ("d_count", 9),
            ]
            board.leave(first)

    def test_the_newest_exemplar_is_kept(self, board: BoardUnderTest) -> None:
        first, second = board.join(), board.join()
        for worker, when in ((first, 20.0), (second, 10.0)):
            family = histogram({"1.0": 1, "+Inf": 1})
            exemplar = Exemplar({"trace_id": str(when)}, 0.5, when)
            worker.publish(
                [MetricFamily(family.metadata, family.keys, family.values, exemplars={0: exemplar})]
            )
        (family,) = [family for family in first.collect() if family.metadata.name == "d"]
        assert family.exemplars == {0: Exemplar({"trace_id": "20.0"}, 0.5, 20.0)}

    def test_series_that_are_shared_with_the_living_keep_what_the_dead_counted(
        self, board: BoardUnderTest
    ) -> None:
        workers = [board.join() for _ in range(3)]
        for number, worker in enumerate(workers):
            keys = [f'a_total{{user="{number}-{user}"}}' for user in range(1500)]
            if number:
                keys.append('a_total{user="all"}')
            worker.publish([MetricFamily(MetricMetadata("a", "counter"), keys, [1.0] * len(keys))])
        for worker in workers[:2]:
            board.leave(worker)
            series = shown(workers[2].collect())
            assert series['a_total{user="all"}'] == 2
            assert sum(value for key, value in series.items() if key.startswith("a_total")) == 4502

    @pytest.mark.parametrize("seed", range(3))
    def test_totals_are_exact_and_never_fall_whoever_dies(self, board: BoardUnderTest, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311  # no secret
        living: list[WorkersPort] = []
        values: list[float] = []
        own: dict[int, int] = {}
        before = 0.0
        for _ in range(80):
            if len(living) < 2 or chance.random() < 0.2:
                living.append(board.join())
                own[id(living[-1])] = len(values)
                values.append(0.0)
            elif len(living) > 2 and chance.random() < 0.3:
                board.leave(living.pop(chance.randrange(len(living))))
            else:
                worker = chance.choice(living)
                # In tenths, which no float is: rounding must not show when a sum is made in another order.
                values[own[id(worker)]] += chance.randrange(1, 10**9) / 10
                worker.publish([counter("a", values[own[id(worker)]])])
            total = shown(chance.choice(living).collect()).get("a_total", 0.0)
            assert total >= before
            assert total == fsum(values)
            before = total
