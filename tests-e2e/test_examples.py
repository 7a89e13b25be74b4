"""The examples that are no servers: each is run as its first lines say."""

import json
import subprocess
import sys

import pytest

from harness import EXAMPLES, TOP, environment, metrics_of, promtool_check

pytestmark = pytest.mark.e2e


def run(*command, cwd=EXAMPLES, **env) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *map(str, command)],
        cwd=cwd,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_script_keeps_what_it_logs_and_prints_it(tmp_path):
    for runs in (1, 2):
        done = run("script_example.py", OBS_DATA=str(tmp_path))
        assert done.returncode == 0
        said = done.stderr.splitlines()
        assert (said[0], said[-1][:11]) == ("a price could not be read", "ValueError:"), "and nothing else"
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert [line["message"] for line in lines] == [
            *("imported", "imported", "a price could not be read")
        ] * runs
    assert lines[0]["attributes"] == {"table": "customers", "rows": 120}
    assert lines[2]["attributes"]["exception.type"] == "ValueError"

    exposition = "".join(line for line in done.stdout.splitlines(True) if not line.startswith("{"))
    assert metrics_of(exposition).total("rows_imported_total", table="orders") == 3400
    assert promtool_check(exposition) == ""


def test_a_library_with_a_registry_of_its_own_needs_nothing_but_the_core():
    check = (
        "import sys, thumbnails; thumbnails.thumbnail(4, 4);"
        "print(sorted(name for name in sys.modules if name.startswith('obs_') and '.' not in name))"
    )
    done = run("-c", check, cwd=EXAMPLES / "library")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "['obs_core']\n")


def test_an_application_takes_over_the_metrics_of_a_library():
    done = run("application.py", cwd=EXAMPLES / "library")
    assert (done.returncode, done.stderr) == (0, "")
    assert metrics_of(done.stdout).values("thumbnails_total", "format") == {"png": 1, "webp": 1}
    assert promtool_check(done.stdout) == ""


def test_each_test_has_a_registry_of_its_own(tmp_path):
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path)
    done = run(*command, "-c", TOP / "packages" / "pytest.toml", EXAMPLES / "test_with_pytest.py")
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
