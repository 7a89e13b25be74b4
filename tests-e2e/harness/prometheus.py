"""A real Prometheus, and its linter."""

import os
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import pytest

from .client import CLIENT
from .places import free_port
from .server import Server
from .waiting import until

_CONFIG = """
global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
scrape_configs:
  - job_name: service
    authorization:
      credentials_file: {token}
    static_configs:
      - targets: ["127.0.0.1:{port}"]
rule_files: [{rules}]
"""


def program(name: str) -> str:
    """Where a program is. Without it the test is skipped, in CI failed: `tools/dev.py` installs it."""
    folders = (os.environ.get("OBS_SERVERS", ""), os.environ.get("PATH", ""), "/usr/sbin")
    found = shutil.which(name, path=os.pathsep.join(filter(None, folders)))
    return found or not_here(f"{name} is not installed")


def not_here(what: str) -> NoReturn:
    """Skip the test, in CI let it fail: it needs something that this machine does not give."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


class Prometheus:
    """Scrapes one service each second, with its token; `rules` is a file of alerts."""

    def __init__(self, folder: Path, port: int, token_file: Path, rules: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "prometheus.yml"
        config.write_text(_CONFIG.format(token=token_file, port=port, rules=rules or ""))
        own = free_port()
        command = [
            program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{own}",
            "--log.format=json",
        ]
        self.server = Server(command, own, folder, ready="/-/ready")

    def __enter__(self) -> Self:
        self.server.__enter__()
        until(self._is_ready, "Prometheus is ready")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.server.__exit__(kind, error, traceback)

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The instant vector of an expression: labels and value of each element."""
        return [(element["metric"], float(element["value"][1])) for element in self._ask(expression)]

    def value(self, expression: str) -> float | None:
        """The only element of an expression; None where there is none."""
        found = self.query(expression)
        assert len(found) < 2, found
        return found[0][1] if found else None

    def wait_for(self, expression: str, value: float, deadline: float = 20.0) -> None:
        """Wait until an expression has this value: the next scrape is up to a second away."""
        seen: list[float | None] = []

        def reached() -> bool:
            seen[:] = [self.value(expression)]
            return seen == [value]

        try:
            until(reached, f"{expression} is {value}", deadline, 0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {seen[0]}") from None

    def growth(self, selector: str, window: str = "5m") -> float:
        """What `increase()` adds up before it extrapolates: the steps between samples, over resets."""
        [series] = self._ask(f"{selector}[{window}]")
        values = [float(value) for _, value in series["values"]]
        return sum(now - before if now >= before else now for before, now in pairwise(values))

    def targets(self) -> list[dict[str, Any]]:
        """What Prometheus says of the scrape: health, last error."""
        found = CLIENT.get(f"{self.server.url}/api/v1/targets", timeout=10).json()
        targets: list[dict[str, Any]] = found["data"]["activeTargets"]
        return targets

    def rules(self) -> list[dict[str, Any]]:
        """Its alerting rules: name, health, state, and what they say now."""
        found = CLIENT.get(f"{self.server.url}/api/v1/rules", timeout=10).json()["data"]["groups"]
        return [rule for group in found for rule in group["rules"]]

    def _ask(self, expression: str) -> list[Any]:
        response = CLIENT.get(f"{self.server.url}/api/v1/query", params={"query": expression}, timeout=10)
        response.raise_for_status()
        result: list[Any] = response.json()["data"]["result"]
        return result

    def _is_ready(self) -> bool:
        return CLIENT.get(f"{self.server.url}/-/ready", timeout=5).status_code == 200


def promtool(*arguments: str, given: str = "") -> tuple[int, str]:
    """Exit status and output of `promtool`."""
    done = subprocess.run(
        [program("promtool"), *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def promtool_check(exposition: str) -> str:
    """What `promtool check metrics` complains of; empty for a page that is right."""
    status, complaints = promtool("check", "metrics", given=exposition)
    return complaints or ("" if status == 0 else f"exit status {status}")
