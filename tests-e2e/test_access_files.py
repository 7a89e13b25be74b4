"""The files of a service: ours alone under any umask, and nothing is believed that others put in their place."""

import os
import signal
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import pytest

from harness import EXAMPLES, Server, Service, environment, free_port, until

pytestmark = pytest.mark.e2e
NAMES = ("obs.db", "obs.db-wal", "obs.db-shm", "obs.db-lock", "obs.db-reserve", "obs.db-token", "obs.db-live")
GUNICORN = "gunicorn fastapi_example:app -w 2 -k uvicorn_worker.UvicornWorker --bind 127.0.0.1:{port}"
UVICORN = "uvicorn fastapi_example:app --port {port} --log-level warning"
NOBODY = 65534


def started(stack, folder: Path, data: Path, command: str, umask: str = "022") -> Service:
    """The shop, by a shell with this umask."""
    port = free_port()
    line = f"umask {umask} && exec {sys.executable} -m {command.format(port=port)}"
    server = Server(["sh", "-c", line], port, folder, cwd=EXAMPLES, env={"OBS_DATA": str(data)})
    return Service(stack.enter_context(server), data / "obs.db-token")


@pytest.mark.parametrize("umask", ["000", "022"])
def test_every_file_is_ours_alone_under_any_umask(stack, tmp_path, umask):
    data = tmp_path / "made" / "data"
    service = started(stack, tmp_path, data, GUNICORN, umask)
    service.get("/customers/ada/orders/7")
    until(service.logs, "an entry is stored")
    live = data / "obs.db-live"
    until(lambda: service.metrics().total("obs_workers") == 2, "both workers are there")
    first = set(live.glob("*.live"))
    os.kill(service.server.workers()[0], signal.SIGKILL)
    until(lambda: not first <= set(live.glob("*.live")), "the dead one is folded", 20)
    found = {path.relative_to(data).as_posix(): path for path in data.rglob("*")}
    assert {*NAMES, *(f"obs.db-live/{name}" for name in ("gate", "lease", "retired"))} <= found.keys()
    assert any(name.endswith(".live") for name in found)
    modes = {name: stat.S_IMODE(path.stat().st_mode) for name, path in found.items()}
    assert {
        name: mode for name, mode in modes.items() if mode != (0o700 if name == "obs.db-live" else 0o600)
    } == {}
    assert [path.stat().st_mode & 0o077 for path in (data, data.parent)] == [0, 0], "folders that we made"


@pytest.mark.parametrize("planted", [NAMES[:1], NAMES[1:4], NAMES[5:]], ids=lambda names: names[0])
def test_symbolic_links_are_refused_and_the_service_goes_on(stack, tmp_path, planted):
    data, victims = tmp_path / "data", tmp_path / "victims"
    data.mkdir()
    victims.mkdir()
    for name in planted:
        (victims / name).write_text("mine")
        (data / name).symlink_to(victims / name)
    service = started(stack, tmp_path, data, UVICORN, "000")
    assert service.get("/").json() == {"shop": "open"}
    assert service.get("/logs", authorization="Bearer mine").status_code == 401
    until(lambda: "symbolic link" in service.server.output or "not a folder of this user" in service.server.output
          or "Too many levels" in service.server.output, "it says what is wrong")  # fmt: skip
    assert service.server.stop() < 10
    assert {path.name: path.read_text() for path in victims.iterdir()} == dict.fromkeys(planted, "mine")


def as_root(*command: str) -> None:
    """Do it with the rights of root, which a runner of CI may have without a password."""
    asked = command if os.geteuid() == 0 else ("sudo", "-n", *command)
    subprocess.run(asked, check=True, capture_output=True, timeout=60)


def test_files_of_another_user_in_a_shared_folder_are_refused(stack, tmp_path):
    data = tmp_path / "shared"
    data.mkdir()
    data.chmod(0o1777)
    with closing(connect(data / "obs.db")) as theirs:
        theirs.execute("PRAGMA user_version=0")
    (data / "obs.db-token").write_text("planted\n")
    (data / "obs.db-token").chmod(0o600)
    (data / "obs.db-live").mkdir(mode=0o777)
    before = (data / "obs.db").read_bytes()
    as_root(
        "chown", "-R", str(NOBODY), *(str(data / name) for name in ("obs.db", "obs.db-token", "obs.db-live"))
    )
    service = started(stack, tmp_path, data, UVICORN)
    assert service.get("/").json() == {"shop": "open"}
    for path in ("/metrics", "/logs"):
        assert service.get(path, authorization="Bearer planted").status_code == 401
        assert service.get(path).status_code == 401
    # Of the folder of the board there may be no line: failures of ours take one a minute together.
    for said in ("belongs to another user", "is not ours alone"):
        until(lambda said=said: said in service.server.output, f"it says {said!r}")
    assert service.server.stop() < 10
    as_root("chown", "-R", str(os.geteuid()), str(data))
    assert (data / "obs.db").read_bytes() == before
    assert list((data / "obs.db-live").iterdir()) == []


OTHER_USER = """
import os, sys
from pathlib import Path
from obs_core.http import Endpoints, Request
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage
folder = Path(sys.argv[1])
with EmbeddedRuntime(SQLiteStorage(folder.parent / "warm" / "obs.db")) as warm:  # Python may be out of reach later
    warm.logger("shop").error("stored")
    Endpoints(warm).metrics(Request("GET"))
    warm.flush(10)
os.setgroups([]), os.setgid(65534), os.setuid(65534)
runtime = EmbeddedRuntime(SQLiteStorage(folder / "obs.db"))
endpoints = Endpoints(runtime)
with runtime:
    runtime.logger("shop").error("not stored there")
    try:
        runtime.flush(2)
    except Exception as error:
        print("flush:", error)
    print("metrics:", endpoints.metrics(Request("GET", headers={"authorization": "Bearer planted"})).status)
"""


def test_a_service_of_a_user_without_rights_refuses_files_that_root_or_others_planted(tmp_path):
    data = tmp_path / "shared"
    data.mkdir()
    for path in (*list(tmp_path.parents)[:2], tmp_path):
        path.chmod(path.stat().st_mode | 0o055)  # so that another user may come here
    data.chmod(0o1777)
    planted = {"obs.db": b"", "obs.db-token": b"planted\n", "obs.db-lock": b""}
    for name, content in planted.items():
        (data / name).write_bytes(content)
        (data / name).chmod(0o666)
    command = [sys.executable, "-c", OTHER_USER, str(data)]
    done = subprocess.run(
        command if os.geteuid() == 0 else ["sudo", "-n", *command],
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "metrics: 401" in done.stdout
    assert "belongs to another user" in done.stderr
    assert "is not ours alone" in done.stderr
    assert {name: (data / name).read_bytes() for name in planted} == planted
