"""How much of what was logged is there after the end: a service that logs each 2 ms until it is gone."""

import signal
from pathlib import Path

import pytest

from harness import until
from harness.examples import ASGI, DJANGO_ASGI, DJANGO_GTHREAD, DJANGO_SYNC, FASTAPI, FASTAPI_GUNICORN
from harness.history import stored_logs
from obs_core import LogQuery

pytestmark = pytest.mark.e2e
APPLICATIONS = Path(__file__).parent / "applications"
# 20 ms are promised, which is 10 entries; a busy machine may make the last write late. Without hooks it is hundreds.
MOST = 50
EXITS = [
    (ASGI, signal.SIGTERM),
    (FASTAPI, signal.SIGTERM),
    (FASTAPI, signal.SIGINT),
    (FASTAPI_GUNICORN, signal.SIGTERM),
    (FASTAPI_GUNICORN, signal.SIGINT),
    (DJANGO_ASGI, signal.SIGTERM),
    (DJANGO_ASGI, signal.SIGINT),
    (DJANGO_SYNC, signal.SIGTERM),
    (DJANGO_SYNC, signal.SIGQUIT),
    (DJANGO_GTHREAD, signal.SIGTERM),
    (DJANGO_GTHREAD, signal.SIGINT),
]


def emitting(start, example, folder):
    """Start an example that logs without pause; returns when it has logged, and begun to write."""
    application = next(word for word in example.command.split() if ":" in word and "{port}" not in word)
    command = example.command.replace(application, "emitting:application")
    service = start.command(
        command,
        cwd=example.cwd,
        PYTHONPATH=str(APPLICATIONS),
        E2E_APP=application,
        E2E_LAST=str(folder / "last"),
    )
    found = lambda: service.read("/logs", logger="emitter", limit=1)  # noqa: E731
    until(lambda: found().status_code == 200 and found().content, "entries are stored")
    return service


def lost(folder, data) -> int:
    """How many of the last numbers are not stored; all before them are, once each."""
    [last] = folder.glob("last.*")
    stored = [int(one.entry.message) for one in stored_logs(data, LogQuery(logger="emitter"))]
    assert stored == list(range(stored[0], stored[-1] + 1))
    return int(last.read_text()) - stored[-1]


@pytest.mark.parametrize(
    ("example", "number"), EXITS, ids=[f"{example.name}-{number.name}" for example, number in EXITS]
)
def test_at_the_end_nothing_is_lost_but_the_last_moment(start, tmp_path, example, number):
    service = emitting(start, example, tmp_path)
    ctrl_c = number == signal.SIGINT
    seconds = example.interrupt(service.server) if ctrl_c else service.server.stop(number)
    missing = lost(tmp_path, start.data)
    print(f"{example.name}, {number.name}: {missing} entries of 500/s lost, ended after {seconds:.2f} s")
    assert missing <= MOST


def test_kill_9_loses_at_most_a_flush_interval(start, tmp_path):
    service = emitting(start, FASTAPI, tmp_path)
    service.server.kill()
    missing = lost(tmp_path, start.data)
    print(f"kill -9: {missing} entries of 500/s lost")
    assert missing <= 500 + MOST
