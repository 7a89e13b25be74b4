"""Every use that the README shows, in the file that its first line names, run as the text says."""

import re
import subprocess
import sys

import pytest

from harness import TOP, Service, environment, metrics_of, until

pytestmark = pytest.mark.e2e
README = (TOP / "README.md").read_text()
BLOCKS = re.findall(r"```python\n# ([\w/.]+)(?:, at its end)?\n(.*?)```", README, re.DOTALL)


def write(folder, *names) -> None:
    """Put these blocks into their files, at the end of what is there."""
    for name in names:
        [text] = [text for block, text in BLOCKS if block == name]
        with (folder / name).open("a") as file:
            file.write(text)


def run(folder, *command) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def reads(service: Service) -> None:
    """What the README promises of each: the two addresses, for whoever has the token."""
    assert service.get("/metrics").status_code in (401, 404)
    assert service.exposition().startswith("# HELP ")
    until(service.metrics().totals, "there are totals")
    assert isinstance(service.logs(), list)


def test_every_block_is_used_by_a_test():
    names = {name for name, _ in BLOCKS}
    assert len(BLOCKS) == len(re.findall("```python", README)) == len(names)
    assert names == {
        *("shop.py", "service.py", "script.py", "thumbnails.py", "test_orders.py"),
        *("shop/observability.py", "shop/settings.py", "shop/urls.py"),
    }


@pytest.mark.parametrize("block", ["shop.py", "service.py"])
def test_fastapi_and_asgi(start, block):
    start.data.mkdir()
    write(start.data, block)
    command = f"uvicorn {block.removesuffix('.py')}:app --port {{port}}"
    reads(start.command(command, cwd=start.data))


@pytest.mark.parametrize(
    "server", ["gunicorn shop.wsgi --bind 127.0.0.1:{port}", "uvicorn shop.asgi:application --port {port}"]
)
def test_django(start, server):
    start.data.mkdir()
    run(start.data, "-m", "django", "startproject", "shop", ".")
    write(start.data, "shop/observability.py", "shop/settings.py", "shop/urls.py")
    run(start.data, "manage.py", "check")
    reads(start.command(server, cwd=start.data))


def test_a_script(tmp_path, start):
    start.data.mkdir()
    write(start.data, "script.py", "shop.py")
    run(start.data, "script.py")
    service = start.command("uvicorn shop:app --port {port}", cwd=start.data)
    [entry] = service.logs(logger="importer")
    assert entry["attributes"] == {"row": 7}


def test_a_library(tmp_path):
    write(tmp_path, "thumbnails.py")
    code = (
        "import thumbnails; from obs_core.encoders import exposition; thumbnails.thumbnail('png');"
        "print(exposition(thumbnails.registry.collect()).decode())"
    )
    assert metrics_of(run(tmp_path, "-c", code)).total("thumbnails_total", format="png") == 1


def test_pytest(tmp_path):
    write(tmp_path, "test_orders.py")
    assert "1 passed" in run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_orders.py")


def test_the_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (TOP / link).exists()] == []
