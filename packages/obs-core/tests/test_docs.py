import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.integration
TOP = Path(__file__).parent.parent


def blocks(name: str) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", (TOP / name).read_text(), re.DOTALL))


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("README.md", ['jobs_total{kind="mail"} 1', '"message":"payment timeout"', "request_id"]),
        (
            "docs/metrics.md",
            ['orders_total{plan="free"} 2', "queue_depth 7", 'build_info{version="1.2.0"', "# EOF"],
        ),
        (
            "docs/logging.md",
            [
                "WARNING shop order 7 is late {'request_id': 'r1', 'plan': 'pro'}",
                "INFO shop.orders paid {'order': 7}",
                "INFO structlog paid {'order': 8}",
                "INFO __main__ order 9 paid {'plan': 'pro', 'level': 'SUCCESS'}",
                "{'iban': '***', 'db_password': '***'}",
            ],
        ),
    ],
)
def test_the_examples_of_a_page_run(page, shown):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", blocks(page)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for text in shown:
        assert text in done.stdout


def test_a_third_partys_storage_is_tested_by_a_fixture_and_a_line(pytester):
    pytester.makepyfile(test_counting=blocks("docs/storage.md"))
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=strict")
    assert result.ret == 0
    assert result.parseoutcomes()["passed"] > 40
