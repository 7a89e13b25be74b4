"""How to test code that counts: `pytest test_with_pytest.py`. Each test has a registry of its own."""

import pytest

from obs_core import Registry


class Checkout:
    """Code under test: it is given its registry, as it would be given a database."""

    def __init__(self, registry: Registry) -> None:
        self._orders = registry.counter("orders_total", "Orders placed.", labels=("plan",))
        self._spent = registry.histogram("checkout_seconds", "Time for an order.")

    def order(self, plan: str) -> None:
        with self._spent.time():
            if not plan:
                raise ValueError("an order needs a plan")
            self._orders.labels(plan).inc()


@pytest.fixture
def registry() -> Registry:
    return Registry()


def values(registry: Registry) -> dict[str, float]:
    """Every series by the name that `/metrics` shows."""
    return {
        key: value
        for family in registry.collect()
        for key, value in zip(family.keys, family.values, strict=True)
    }


def test_an_order_is_counted(registry: Registry) -> None:
    Checkout(registry).order("pro")
    assert values(registry)['orders_total{plan="pro"}'] == 1


def test_nothing_is_left_of_other_tests(registry: Registry) -> None:
    assert values(registry) == {}


def test_a_failure_is_timed_and_not_counted(registry: Registry) -> None:
    with pytest.raises(ValueError, match="plan"):
        Checkout(registry).order("")
    assert values(registry)["checkout_seconds_count"] == 1
    assert 'orders_total{plan=""}' not in values(registry)
