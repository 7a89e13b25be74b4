import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
README = Path(__file__).parent.parent / "README.md"


def test_the_examples_of_the_readme_run(tmp_path):
    (tmp_path / "shop").mkdir()
    script = ""
    for block in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL):
        named = re.match(r"# (shop/\w+\.py)\n", block)
        if named:
            (tmp_path / named[1]).write_text(block)
        else:
            script += block
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "1 family of ours"
    assert f"needs the token in {tmp_path / 'obs.db-token'}" in done.stderr
    checked = subprocess.run(
        [sys.executable, "-W", "error", "-m", "django", "check", "--settings", "shop.settings"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert "no issues" in checked.stdout, checked.stderr
