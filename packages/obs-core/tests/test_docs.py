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


def test_the_examples_of_the_readme_run():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", blocks("README.md")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert 'jobs_total{kind="mail"} 1' in done.stdout
    assert '"message":"payment timeout"' in done.stdout
    assert "request_id" in done.stdout


def test_a_third_partys_storage_is_tested_by_a_fixture_and_a_line(pytester):
    pytester.makepyfile(test_counting=blocks("docs/storage.md"))
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=strict")
    assert result.ret == 0
    assert result.parseoutcomes()["passed"] > 40
