import asyncio
import os
import time
from pathlib import Path

import pytest

from obs_core import Registry, process
from obs_core.process import LoopLag, process_metrics

pytestmark = pytest.mark.unit


def values(registry: Registry) -> dict[str, float]:
    return {
        key: value
        for family in registry.collect()
        for key, value in zip(family.keys, family.values, strict=True)
    }


@pytest.fixture
def registry():
    registry = Registry()
    process_metrics(registry)
    return registry


def test_the_four_have_their_names_and_plausible_values(registry):
    seen = values(registry)
    assert set(seen) == {
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_open_fds",
    }
    assert 1e6 < seen["process_resident_memory_bytes"] < 1e11
    assert time.time() - 86400 < seen["process_start_time_seconds"] <= time.time() + 1
    assert seen["process_cpu_seconds_total"] > 0


def test_cpu_time_is_a_counter_and_the_others_are_of_each_worker(registry):
    kinds = {family.metadata.name: (family.metadata.kind, family.aggregate) for family in registry.collect()}
    assert kinds.pop("process_cpu_seconds") == ("counter", "sum")
    assert set(kinds.values()) == {("gauge", "per_worker")}


def test_an_open_file_is_counted(registry):
    before = values(registry)["process_open_fds"]
    with Path(os.devnull).open():
        assert values(registry)["process_open_fds"] == before + 1


def test_asking_again_counts_on_and_a_second_declaration_is_the_same(registry):
    first = values(registry)["process_cpu_seconds_total"]
    sum(range(1_000_000))
    process_metrics(registry)
    registry.reset()
    assert values(registry)["process_cpu_seconds_total"] > first


def test_without_proc_the_most_memory_and_the_import_stand_in(monkeypatch, tmp_path):
    monkeypatch.setattr(process, "_PROC", tmp_path)
    registry = Registry()
    process_metrics(registry)
    seen = values(registry)
    assert seen["process_resident_memory_bytes"] > 1e6
    assert seen["process_start_time_seconds"] == process._IMPORTED


def test_what_a_platform_does_not_tell_is_not_declared(monkeypatch):
    def nothing(folder: str) -> list[str]:
        raise FileNotFoundError(folder)

    monkeypatch.setattr(process.os, "listdir", nothing)
    registry = Registry()
    process_metrics(registry)
    assert "process_open_fds" not in values(registry)


@pytest.mark.asyncio
async def test_a_loop_that_is_held_up_shows_in_the_lag_and_no_task_is_made():
    registry = Registry()
    lag = LoopLag(registry, interval=0.01)
    loop = asyncio.get_running_loop()
    stop = lag.watch(loop)
    assert lag.watch(loop) == stop
    assert len(asyncio.all_tasks()) == 1
    await asyncio.sleep(0.03)
    time.sleep(0.15)  # noqa: ASYNC251  # what a blocking view does
    await asyncio.sleep(0.03)
    stop()
    seen = values(registry)
    count = seen["obs_event_loop_lag_seconds_count"]
    assert seen['obs_event_loop_lag_seconds_bucket{le="0.1"}'] < count
    await asyncio.sleep(0.03)
    assert values(registry)["obs_event_loop_lag_seconds_count"] == count
    again = lag.watch(loop)
    assert again != stop
    again()


def test_loops_that_are_gone_are_forgotten():
    lag = LoopLag(Registry(), interval=10)

    async def watched() -> None:
        lag.watch(asyncio.get_running_loop())

    for _ in range(5):
        asyncio.run(watched())
    assert len(lag._samplings) == 1
