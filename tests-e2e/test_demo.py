"""The demo, as the README says it is started."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys

import pytest

from harness import TOP, environment, free_port, metrics_of, until
from harness.history import stored_logs
from obs_core import LogQuery

pytestmark = pytest.mark.e2e


def demo(*arguments, **options) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "tools/dev.py", "demo", *map(str, arguments)],
        cwd=TOP,
        env=environment({}),
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **options,
    )


@pytest.fixture
def running(tmp_path):
    """The demo, once it has said where to look: its process, what it said, and the data folder."""
    said = tmp_path / "said"
    folder = tmp_path / "data"
    with said.open("w") as output:
        process = demo("--port", free_port(), "--data", folder, stdout=output)

    def text() -> str:
        assert process.poll() is None, said.read_text()
        return said.read_text() if "Ctrl-C" in said.read_text() else ""

    try:
        yield process, until(text, "the demo says where to look", 300, 0.2), folder
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)
        print(said.read_text())


def curl(line) -> str:
    """Do a line as the shell does."""
    quiet = line.replace("curl ", "curl -sS --fail --max-time 20 ", 1)
    done = subprocess.run(["bash", "-c", quiet], cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_serves_what_it_says_and_ctrl_c_loses_nothing(running):
    process, said, folder = running
    lines = [line for line in said.splitlines() if line.startswith("curl ")]
    assert len(lines) == 2
    metrics, logs = lines
    assert shlex.split(metrics)[-1] in re.findall(r"metrics: (\S+)", said)
    until(lambda: metrics_of(curl(metrics)).total("orders_total") > 3, "its own traffic is counted", 30)
    errors = until(lambda: curl(logs), "the shop has failed once", 60, 0.5)
    assert '"exception.type":"fastapi_example.PaymentError"' in errors

    placed = metrics_of(curl(metrics)).total("orders_total")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 0
    stored = stored_logs(folder, LogQuery(logger="shop.orders", text="order placed"))
    assert len(stored) >= placed


def ends(*arguments) -> tuple[int, list[str]]:
    process = demo(*arguments, stdout=subprocess.PIPE)
    output, _ = process.communicate(timeout=300)
    return process.returncode, output.splitlines()


def test_a_port_that_is_taken_is_one_line_and_status_2(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, lines = ends("--port", port, "--data", tmp_path / "data")
    assert (status, len(lines)) == (2, 1)
    assert str(port) in lines[0]


def test_a_folder_that_cannot_be_made_is_one_line_and_status_2(tmp_path):
    (tmp_path / "file").write_text("in the way")
    status, lines = ends("--port", free_port(), "--data", tmp_path / "file" / "data")
    assert (status, len(lines)) == (2, 1)
    assert str(tmp_path / "file") in lines[0]


def test_a_folder_where_nobody_may_write_is_one_line_and_status_2():
    status, lines = ends("--port", free_port(), "--data", "/proc/obs-data")
    assert (status, len(lines)) == (2, 1)
    assert "/proc/obs-data" in lines[0]
