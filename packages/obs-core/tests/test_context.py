import asyncio

import pytest

from obs_core import bind, current_context
from obs_core._context import parse_traceparent

pytestmark = pytest.mark.unit
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_inner_bindings_win_and_end_with_their_block():
    with bind(a=1, b=1):
        with bind(b=2):
            assert current_context() == {"a": 1, "b": 2}
        assert current_context() == {"a": 1, "b": 1}
    assert current_context() == {}


@pytest.mark.asyncio
async def test_each_task_has_its_own_and_threads_take_it_along():
    async def task(name: str) -> tuple[str, str]:
        with bind(name=name):
            await asyncio.sleep(0)
            return current_context()["name"], (await asyncio.to_thread(current_context))["name"]

    assert await asyncio.gather(task("a"), task("b")) == [("a", "a"), ("b", "b")]
    assert current_context() == {}


def test_what_is_given_out_is_a_copy():
    with bind(a=1):
        current_context()["a"] = 2
        assert current_context() == {"a": 1}


@pytest.mark.parametrize(
    "header", [f"00-{TRACE}-{SPAN}-01", f" 00-{TRACE}-{SPAN}-00 ", f"01-{TRACE}-{SPAN}-01-what-comes-later"]
)
def test_a_traceparent_gives_both_ids(header):
    assert parse_traceparent(header) == (TRACE, SPAN)


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE[1:]}-{SPAN}-01",
    ],
)
def test_what_is_no_traceparent_gives_nothing(header):
    assert parse_traceparent(header) is None
