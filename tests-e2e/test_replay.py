"""The logs that real servers wrote, through every storage and back."""

import shutil
import signal
import subprocess
import sys

import pytest

from harness import CLIENT, TOP, environment
from harness.examples import DJANGO_SYNC
from harness.nginx import nginx

pytestmark = pytest.mark.e2e


@pytest.fixture
def logs(start, stack, tmp_path):
    """A folder with what nginx, gunicorn and Prometheus wrote about some traffic."""
    folder = tmp_path / "logs"
    folder.mkdir()
    service = start.example(DJANGO_SYNC, more="--access-logfile - --log-level debug")
    proxy = stack.enter_context(nginx(tmp_path / "nginx", service.server.port))
    prometheus = start.prometheus(service)
    for number in range(300):
        CLIENT.get(f"{proxy.url}/customers/ada/orders/{number}/?greeting=h%C3%A4llo")
        CLIENT.post(f"{proxy.url}/orders/{number}/payment/")
    prometheus.wait_for("count(http_server_request_duration_seconds_count) > bool 1", 1)
    for server in (prometheus.server, service.server, proxy):
        server.stop(signal.SIGTERM)
        shutil.copy(server.log_file, folder)
    for name in ("access.log", "error.log"):
        shutil.copy(tmp_path / "nginx" / name, folder / f"nginx-{name}")
    return folder


def test_what_real_servers_wrote_is_read_back_as_plain_python_reads_it(logs):
    done = subprocess.run(
        [sys.executable, "-m", "replay.inside", str(logs), "sqlite", "ring", "memory"],
        env=environment({"PYTHONPATH": str(TOP / "tools")}),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert "nothing differs" in done.stdout
    for name in ("nginx-access.log", "prometheus", "python"):
        assert name in done.stdout


def test_a_plain_proxy_does_not_let_the_world_in(start, stack, tmp_path):
    service = start.example(DJANGO_SYNC)
    proxy = stack.enter_context(nginx(tmp_path / "nginx", service.server.port))
    assert CLIENT.get(f"{proxy.url}/metrics").status_code == 401
    assert CLIENT.get(f"{proxy.url}/logs").status_code == 401
    assert CLIENT.get(f"{proxy.url}/logs", headers=service.headers).status_code == 200
