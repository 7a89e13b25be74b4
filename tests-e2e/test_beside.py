"""Gauges of four workers, forks, processes beside the server, and a second start."""

import os
import signal
import subprocess
import sys
import time
from itertools import count

import pytest

from harness import APPLICATIONS, environment, until
from harness.examples import DJANGO_SYNC
from harness.workers import Case

pytestmark = pytest.mark.e2e


def plans(service):
    return service.metrics().values("orders_total", "plan")


def set_levels(service) -> dict[int, float]:
    """Have each of four workers set its gauges; the value of each, the one that was set last at the end."""
    levels: dict[int, float] = {}

    numbers = count(1)

    def one_more() -> bool:
        value = next(numbers)
        worker = int(service.get(f"/level/{value}").text)
        levels.pop(worker, None)
        levels[worker] = value
        return len(levels) == 4

    until(one_more, "every worker has set its gauges", 30, 0.01)
    for _ in range(20):  # one after the other, in whichever worker: each is the latest for a moment
        one_more()
    return levels


@pytest.mark.parametrize(
    "case", [Case("uvicorn", "", "ring"), Case("sync", "", "sqlite")], ids=lambda c: c.name
)
def test_a_gauge_is_what_its_aggregate_says_and_a_dead_workers_share_is_gone(start, case):
    service = case.start(start)
    levels = set_levels(service)

    def shown() -> tuple[float, ...]:
        page = service.metrics()
        return tuple(page.total(f"{name}_level") for name in ("sum", "max", "min", "latest"))

    values = list(levels.values())
    expected = (sum(values), max(values), min(values), values[-1])
    until(lambda: shown() == expected, f"all have published: {expected}", 10)
    each = service.metrics().values("per_worker_level", "worker")
    assert sorted(each.values()) == sorted(values)
    assert set(each) == {"0", "1", "2", "3"}, "the lowest free numbers, not pids"

    os.kill(list(levels)[-1], signal.SIGKILL)
    left = values[:-1]
    gone = lambda: (shown()[0], shown()[1], shown()[3]) == (sum(left), max(left), values[-1])  # noqa: E731
    until(gone, "the share of the dead worker is gone, but the latest value stays", 20)


@pytest.mark.parametrize("server", ["uvicorn", "sync", "gthread"])
def test_a_fork_inside_an_application_is_a_worker_of_its_own(start, server):
    service = Case(server, "", "sqlite", workers=2).start(start)
    for number in range(6):
        service.get(f"/place/{number}")
        assert service.get("/fork").text == "0"
    expected = {"free": 3, "pro": 3, "forked": 6}
    until(lambda: plans(service) == expected, "each is counted once", 10)
    time.sleep(1.5)
    assert plans(service) == expected, "and is when all is folded"


def run(*command, cwd=APPLICATIONS, **env) -> None:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("storage", ["sqlite", "ring"])
def test_a_script_beside_the_server_and_its_children_are_counted(start, storage):
    service = Case("uvicorn", "", storage, workers=2).start(start)
    for number in range(4):
        service.get(f"/place/{number}")
    run("beside.py", OBS_DATA=str(start.data), E2E_STORAGE=storage)
    expected = {"free": 2, "pro": 2, "beside": 7, "fork": 5, "spawn": 5}
    until(lambda: plans(service) == expected, "the script and its children are counted", 10)
    if storage == "sqlite":
        assert [line["message"] for line in service.logs(logger="beside")] == ["at work"]


def test_a_management_command_is_counted(start):
    service = start.example(DJANGO_SYNC)
    service.get("/orders/?plan=pro")
    code = "from shop.observability import placed, runtime\nwith runtime:\n    placed.labels('shell').inc(3)"
    run("manage.py", "shell", "-c", code, cwd=DJANGO_SYNC.cwd, OBS_DATA=str(start.data))
    until(lambda: plans(service) == {"pro": 1, "shell": 3}, "the shell is counted", 10)


def test_two_services_on_one_database_are_told_apart(start):
    shop = Case("uvicorn", "", "sqlite", workers=2).start(start, E2E_SERVICE="shop")
    billing = Case("uvicorn", "", "sqlite", workers=2).start(start, E2E_SERVICE="billing")
    for number in range(5):
        shop.get(f"/place/{number}")
    billing.get("/place/1")
    services = lambda: billing.metrics().values("orders_total", "service")  # noqa: E731
    until(lambda: services().get("billing") == 1, "billing is counted", 10)
    until(
        lambda: shop.metrics().values("orders_total", "service").get("shop") == 5, "the shop is counted", 10
    )


def test_no_file_of_a_dead_worker_stays(start):
    case = Case("gthread", "max-requests", "sqlite")
    service = case.start(start)
    for number in range(150):
        service.get(f"/place/{number}")
    live = start.data / "obs.db-live"
    until(lambda: len(list(live.glob("*.live"))) <= 5, "files of dead workers are folded", 60)
    assert until(lambda: sum(plans(service).values()) == 150, "all is counted", 10)
    service.server.stop()
    second = Case("gthread", "", "sqlite").start(start)
    second.get("/place/1")
    until(lambda: plans(second) == {"pro": 1}, "a new run begins at zero", 10)
    until(lambda: len(list(live.glob("*.live"))) <= 4, "nothing of the first run is left", 20)
    assert [path.name for path in live.glob("*.tmp")] == []


@pytest.mark.parametrize("case", [Case("gunicorn-uvicorn", "", "sqlite"), Case("sync", "preload", "ring")],
                         ids=lambda case: case.name)  # fmt: skip
def test_a_second_start_begins_at_zero_and_prometheus_adds_both_up(start, case):
    first = case.start(start)
    for _ in range(20):
        first.get("/place/1")
    prometheus = start.prometheus(first)
    counter = 'orders_total{plan="pro"}'
    prometheus.wait_for(counter, 20)
    for _ in range(10):
        first.get("/place/1")
    prometheus.wait_for(counter, 30)
    first.server.stop()

    second = case.start(start, port=first.server.port)
    second.get("/place/1")
    until(lambda: plans(second) == {"pro": 1}, "it begins at zero", 10)
    for _ in range(6):
        second.get("/place/1")
    prometheus.wait_for(counter, 7)
    assert prometheus.value(f"resets({counter}[2m])") == 1
    # 10 after the first scrape, and 7: exactly, but that it extrapolates towards the ends of the window.
    assert prometheus.growth(counter) == 17
    assert 17 <= prometheus.value(f"increase({counter}[2m])") < 2 * 17
