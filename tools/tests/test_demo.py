"""The demo, as a newcomer runs it: a real server, stopped as by Ctrl-C and as by a service manager."""

import itertools
import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import traffic
from workspace import TOP

DEADLINE = 120
ORDERS = 50


class Demo:
    """A demo on a free port; `out` is what it printed until it was ready."""

    def __init__(self, folder, *options):
        command = [sys.executable, "tools/dev.py", "demo", "--port", "0", "--data", str(folder), *options]
        self.process = subprocess.Popen(
            command, cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.out = ""
        for line in self.process.stdout:
            self.out += line
            if "Ctrl-C" in line:
                break
        assert "Ctrl-C" in self.out, self.out

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop(signal.SIGTERM)

    @property
    def curls(self):
        """The two lines worth trying, as words of a shell."""
        return [line for line in self.out.splitlines() if line.startswith("curl ")]

    def get(self, path, data=None):
        base = re.search(r"http://[\d.]+:\d+", self.out).group()
        token = Path(re.search(r"\$\(cat ([^)]+)\)", self.out).group(1)).read_text(encoding="ascii").strip()
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        body = None if data is None else json.dumps(data).encode()
        asked = urllib.request.Request(base + path, body, headers)
        with urllib.request.urlopen(asked, timeout=DEADLINE) as answer:
            return answer.read().decode()

    def wait_for(self, text):
        """The first page of metrics that has this text."""
        deadline = time.monotonic() + DEADLINE
        while text not in (page := self.get("/metrics")):
            assert time.monotonic() < deadline, page
            time.sleep(0.1)
        return page

    def stop(self, number):
        """Send the signal; the exit status and what was printed since."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, rest


def messages(text):
    return [json.loads(line)["message"] for line in text.splitlines()]


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_lost_when_it_is_stopped(tmp_path, number):
    with Demo(tmp_path / "data", "--no-traffic") as demo:
        for _ in range(ORDERS):
            demo.get("/orders", {"plan": "pro", "amount": 5})
        status, rest = demo.stop(number)
    assert status == 0
    assert "Traceback" not in rest
    assert rest.startswith("stopped; what was logged is in ") or "\nstopped; " in rest
    with Demo(tmp_path / "data", "--no-traffic") as demo:
        assert messages(demo.get("/logs?q=order+placed&limit=10000")) == ["order placed"] * ORDERS


@pytest.mark.integration
def test_either_worker_answers_for_both(tmp_path):
    with Demo(tmp_path / "data", "--no-traffic") as demo:
        demo.wait_for("\nobs_workers 2\n")
        for _ in range(ORDERS):
            demo.get("/orders", {"plan": "pro", "amount": 5})
        # A worker publishes each second: the one that answers may not know the last orders of the other yet.
        total = f'orders_total{{plan="pro"}} {ORDERS}\n'
        demo.wait_for(total)
        assert all(total in demo.get("/metrics") for _ in range(20))


@pytest.mark.integration
def test_it_sends_traffic_by_itself_and_says_where_to_look(tmp_path):
    with Demo(tmp_path / "data") as demo:
        page = demo.wait_for('orders_total{plan="')
        assert 'http_route="/orders"' in page
        first, second = (shlex.split(line.replace("$(cat ", "").replace(")", "")) for line in demo.curls)
        assert first[3].endswith("/metrics")
        assert second[3].endswith("/logs?level=ERROR&since=15m")
        assert Path(first[2].rpartition(" ")[2]) == tmp_path / "data" / "obs.db-token"
        demo.get("/logs?level=ERROR&since=15m")
        status, _ = demo.stop(signal.SIGINT)
    assert status == 0


@pytest.mark.integration
def test_who_has_no_token_is_told_nothing(tmp_path):
    with Demo(tmp_path / "data", "--no-traffic") as demo:
        base = re.search(r"http://[\d.]+:\d+", demo.out).group()
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{base}/metrics", timeout=DEADLINE)


@pytest.mark.integration
def test_a_port_that_is_taken_is_one_line_and_status_2(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [
            sys.executable,
            "tools/dev.py",
            "demo",
            "--port",
            str(port),
            "--data",
            str(tmp_path / "data"),
        ]
        done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 2
    assert done.stderr == f"port {port} is taken: stop what listens there, or choose another by --port\n"
    assert not (tmp_path / "data").exists()


@pytest.mark.unit
def test_the_same_seed_makes_the_same_visits_to_every_page():
    first, second = (list(itertools.islice(traffic.visits(7), 200)) for _ in range(2))
    assert first == second
    assert {visit.path.split("/")[1].split("?")[0] for visit in first} == {
        "orders",
        "customers",
        "stock",
        "report",
        "no",
    }


@pytest.mark.unit
def test_each_request_begins_a_trace_of_its_own():
    traces = {traffic.headers()["traceparent"] for _ in range(100)}
    assert len(traces) == 100
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", trace) for trace in traces)
