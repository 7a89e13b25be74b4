"""The board on real files: what others do to them, and what a crash leaves."""

import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from obs_core import MetricFamily, MetricMetadata, Registry
from obs_runtime._board import board as board_module
from obs_runtime._board import fold, live
from obs_runtime._board._errors import BoardError, DamagedError, GateHeldError, UnknownFormatError
from obs_runtime._board.board import Board
from obs_runtime._board.locks import Lease, Opened, held
from obs_runtime._board.retired import Retired, encode
from obs_runtime._board.run import _is_fork_of, is_alive, own_run

pytestmark = pytest.mark.integration


def counter(value: float, name: str = "a", labels: int = 0) -> list[MetricFamily]:
    keys = [f'{name}_total{{q="{number}"}}' for number in range(labels)] or [f"{name}_total"]
    return [MetricFamily(MetricMetadata(name, "counter", "A."), keys, [value] * len(keys))]


def total(board: Board, name: str = "a") -> float:
    (found,) = [sum(one.values) for one in board.collect() if one.metadata.name == name] or [0.0]
    return found


def value(board: Board, key: str) -> float:
    return {
        key: one for family in board.collect() for key, one in zip(family.keys, family.values, strict=True)
    }[key]


def live_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.live"))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "live"


def test_files_are_ours_alone_under_any_umask(folder):
    before = os.umask(0)
    try:
        board = Board(folder)
        board.publish(counter(1.0))
        assert board.lease.hold()
        other = Board(folder)
        other.publish(counter(1.0))
        other.close()
        board.fold()
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name for path in folder.iterdir()} >= {"gate", "lease", "retired"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_folder_that_is_open_to_others_is_closed(folder):
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    Board(folder).publish(counter(1.0))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_links_are_not_followed(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BoardError, match="not a folder of this user"):
        Board(folder).publish(counter(1.0))
    folder.unlink()
    board = Board(folder)
    board.publish(counter(1.0))
    (tmp_path / "victim").write_text("mine")
    (folder / ("0" * 32 + ".live")).symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic"):
        board.collect()
    assert (tmp_path / "victim").read_text() == "mine"


def test_growing_keeps_every_series(folder):
    board, reader = Board(folder), Board(folder)
    for labels in (1, 100, 2000, 10_000):
        board.publish(counter(1.0, labels=labels))
        assert total(reader) == labels
    assert len(live_files(folder)) == 1


def test_a_file_that_was_removed_is_made_again(folder):
    board, other = Board(folder), Board(folder)
    board.publish(counter(1.0))
    live_files(folder)[0].unlink()
    board.publish(counter(2.0))
    assert total(other) == 2
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    board.publish(counter(3.0))
    assert total(other) == 3


def test_a_file_that_was_cut_off_is_made_again(folder):
    board, other = Board(folder), Board(folder)
    board.publish(counter(1.0))
    os.truncate(live_files(folder)[0], 100)
    with pytest.raises(BoardError):
        other.collect()
    board.publish(counter(1.0))
    assert total(other) == 1


def test_a_worker_with_a_file_of_a_newer_format_is_left_out_and_counted(folder):
    board, newer = Board(folder), Board(folder)
    board.publish(counter(1.0))
    newer.publish(counter(10.0))
    path = folder / f"{newer._id.hex()}.live"
    with path.open("r+b") as file:
        file.seek(8)
        file.write(b"\x09")
    assert (total(board), value(board, "obs_workers"), value(board, "obs_workers_left_out")) == (1, 1, 1)
    newer.close()
    board.fold()
    assert path.exists(), "who can read it may come yet"
    os.utime(path, (1, 1))
    board.fold()
    assert not path.exists()
    assert value(board, "obs_workers_left_out") == 0


def test_retired_sums_of_a_newer_format_are_left_alone_and_no_total_is_shown(folder):
    board, other = Board(folder), Board(folder)
    board.publish(counter(1.0))
    other.publish(counter(1.0))
    content = bytearray(encode(Retired()))
    content[8] = 9
    (folder / "retired").write_bytes(content)
    with pytest.raises(UnknownFormatError):
        board.collect()
    other.close()
    with pytest.raises(UnknownFormatError):
        board.fold()
    assert (folder / "retired").read_bytes() == content
    assert len(live_files(folder)) == 2


def test_a_rolling_restart_to_a_newer_format_of_the_sums_shows_right_totals(folder):
    older, newer = Board(folder), Board(folder)
    older.publish(counter(1.0))
    newer.publish(counter(2.0))
    (path,) = [path for path in live_files(folder) if path.stem == newer._id.hex()]
    with path.open("r+b") as file:  # what a newer release may say of itself
        file.seek(96)
        file.write(b"\2" * 32)
    died = Board(folder)
    died.publish(counter(4.0))
    died.close()
    # Not folded by the newer one, as an older one lives: it counts as it is.
    assert total(older) == total(newer) == 7
    older.fold()
    assert len(live_files(folder)) == 2
    assert total(older) == total(newer) == 7
    older.close()
    assert total(newer) == 7
    newer.fold()
    assert total(newer) == 7


def test_after_a_full_stop_an_older_release_begins_from_zero_over_a_newer_format(folder):
    content = bytearray(encode(Retired()))
    content[8] = 9
    folder.mkdir(mode=0o700)
    (folder / "retired").write_bytes(content)
    board = Board(folder)
    board.publish(counter(1.0))
    assert total(board) == 1


def test_damaged_sums_are_never_shown_as_less(folder):
    board = Board(folder)
    board.publish(counter(1.0))
    (folder / "retired").write_bytes(b"obs-past" + bytes(100))
    with pytest.raises(BoardError):
        board.collect()
    board.close()
    # Once nobody lives there is nothing to keep.
    fresh = Board(folder)
    fresh.publish(counter(2.0))
    assert total(fresh) == 2


def test_a_damaged_live_file_is_no_smaller_total(folder):
    board, other = Board(folder), Board(folder)
    board.publish(counter(1.0))
    other.publish(counter(1.0))
    path = folder / f"{other._id.hex()}.live"
    at = live.Reader()  # only to know where values stand
    assert at.read(path).values[0] == 1
    with path.open("r+b") as file:
        file.seek(192)
        file.write(b"\xff" * 16)
    with pytest.raises(DamagedError):
        board.collect()
    other.publish(counter(2.0))
    assert total(board) == 3


def test_a_full_disk_keeps_what_was_shown_before(folder):
    code = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_board_files import counter, total
from obs_runtime._board.board import Board
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
board, other = Board(Path(sys.argv[1])), Board(Path(sys.argv[1]))
board.publish(counter(1.0))
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
failures = 0
for families in (counter(5.0), counter(5.0, labels=5000)):
    try:
        board.publish(families)
    except OSError as error:
        failures += 1
    assert total(other) == 1
resource.setrlimit(resource.RLIMIT_FSIZE, before)
board.publish(counter(5.0, labels=5000))
print(failures, total(other))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("2 25000.0\n", "")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)


def test_on_a_full_disk_series_that_have_their_place_are_shown_on_and_new_ones_later(folder):
    code = """
import os, resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_board_files import counter, total
from obs_runtime._board._errors import NoRoomError
from obs_runtime._board.board import Board
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
board, other = Board(Path(sys.argv[1])), Board(Path(sys.argv[1]))
board.publish(counter(1.0, labels=100))
(file,) = Path(sys.argv[1]).glob("*.live")
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size, before[1]))
for value in (2.0, 3.0):
    try:
        board.publish(counter(value, labels=5000))
    except NoRoomError as error:
        print("4900 new series" in str(error), total(other))
resource.setrlimit(resource.RLIMIT_FSIZE, before)
board.publish(counter(3.0, labels=5000))
print(total(other))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("True 200.0\nTrue 300.0\n15000.0\n", "")


def test_on_a_full_disk_a_gauge_that_went_keeps_no_counter_from_being_shown(folder):
    code = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_board_files import total
from obs_core import Registry
from obs_runtime._board._errors import NoRoomError
from obs_runtime._board.board import Board
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
registry = Registry()
jobs, orders = registry.gauge("jobs", "Jobs.", labels=("queue",)), registry.counter("orders", "Orders.")
board, other = Board(Path(sys.argv[1])), Board(Path(sys.argv[1]))
for number in range(50):
    jobs.labels(str(number)).set(1)
def show(amount):
    orders.inc(amount)
    board.publish(registry.collect())
def seen(name):
    return sum(sum(one.values) for one in other.collect() if one.metadata.name == name)
show(1)
before = resource.getrlimit(resource.RLIMIT_FSIZE)
jobs.remove("3")
(file,) = Path(sys.argv[1]).glob("*.live")
# Names are at the end: there is room for all values, and none for another file.
resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size - 500, before[1]))
for amount in (5, 7):
    try:
        show(amount)
    except NoRoomError as error:
        print("went" in str(error), seen("orders"), seen("jobs"))
resource.setrlimit(resource.RLIMIT_FSIZE, before)
show(1)
print(seen("orders"), seen("jobs"))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("True 6.0 49.0\nTrue 13.0 49.0\n14.0 49.0\n", "")


def test_what_somebody_left_in_the_making_is_removed_and_what_somebody_makes_is_not(folder):
    board = Board(folder)
    board.publish(counter(1.0))
    (folder / "left.tmp").write_bytes(b"x")
    with Opened(folder / "made.tmp", os.O_RDWR | os.O_CREAT) as maker:
        assert maker.take()
        board.fold()
        assert [path.name for path in folder.glob("*.tmp")] == ["made.tmp"]


def test_nobody_waits_for_ever_at_the_gate(folder, monkeypatch):
    monkeypatch.setattr("obs_runtime._board.board._GATE", 0.05)
    board = Board(folder)
    board.publish(counter(1.0))
    dead = Board(folder)
    dead.publish(counter(2.0))
    dead.close()
    with Opened(folder / "gate", os.O_RDWR) as stopped:
        assert stopped.take()
        late = Board(folder)
        late.publish(counter(4.0))
        assert total(board) == 7
        with pytest.raises(BoardError, match="held by another"):
            board.fold()
    board.fold()
    assert total(board) == 7
    assert len(live_files(folder)) == 2


def test_one_holds_the_lease_until_it_lets_go(folder):
    folder.mkdir()
    first, second = Lease(folder / "lease"), Lease(folder / "lease")
    assert first.hold()
    assert first.hold()
    assert not second.hold()
    first.let_go()
    assert second.hold()


def test_a_lease_whose_file_was_removed_is_held_by_one(folder):
    folder.mkdir()
    first, second = Lease(folder / "lease"), Lease(folder / "lease")
    assert first.hold()
    (folder / "lease").unlink()
    assert second.hold()
    assert not first.hold()


def test_who_waits_at_a_gate_that_is_replaced_does_not_get_through_beside_another(folder, monkeypatch):
    folder.mkdir()
    gate = folder / "gate"
    first = Opened(gate, os.O_RDWR | os.O_CREAT)
    assert first.take()
    others: list[Opened] = []

    def replaced(_seconds: float) -> None:
        if not others:
            gate.unlink()
            others.append(Opened(gate, os.O_RDWR | os.O_CREAT))
            assert others[0].take()
            first.close()

    monkeypatch.setattr("obs_runtime._board.locks.time.sleep", replaced)
    with pytest.raises(GateHeldError), held(gate, 0.1):
        pass
    others[0].close()
    with held(gate, 0.1):
        pass


def test_a_file_of_another_kind_is_left_out_and_counted(folder):
    board = Board(folder)
    board.publish(counter(1.0))
    (folder / "foreign.live").write_text("something else")
    assert (total(board), value(board, "obs_workers_left_out")) == (1, 1)


@pytest.mark.parametrize(
    ("own", "parent", "expected"),
    [
        ("gunicorn: worker [shop]", "gunicorn: master [shop]", True),
        ("python\0app.py\0", "python\0app.py\0", True),
        ("python\0app.py\0", "supervisord\0", False),
        ("python\0a:b\0", "python\0a:c\0", False),
        ("celery: worker", "gunicorn: master", False),
    ],
)
def test_a_fork_is_known_whatever_its_title(own, parent, expected, monkeypatch):
    monkeypatch.setattr("obs_runtime._board.run._command", lambda pid: own if pid == os.getpid() else parent)
    assert _is_fork_of(1) is expected


def test_totals_begin_from_zero_when_nobody_lives_and_no_run_goes_on(folder, monkeypatch):
    board = Board(folder)
    board.publish(counter(5.0))
    board.close()
    again = Board(folder)
    again.publish(counter(1.0))
    assert total(again) == 1
    assert len(live_files(folder)) == 1
    again.close()


def test_a_run_goes_on_while_its_server_lives(folder, monkeypatch):
    server = (os.getpid(), _started(), _boot())
    monkeypatch.setattr("obs_runtime._board.board.own_run", lambda: server)
    board = Board(folder)
    board.publish(counter(5.0))
    board.close()
    # A worker that comes while none lives, and a script in that very moment.
    monkeypatch.setattr("obs_runtime._board.board.own_run", lambda: None)
    script = Board(folder)
    script.publish(counter(1.0))
    script.fold()
    assert total(script) == 6
    script.close()
    monkeypatch.setattr("obs_runtime._board.board.own_run", lambda: server)
    worker = Board(folder)
    worker.publish(counter(1.0))
    assert total(worker) == 7


def _started() -> str:
    return Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()[19]


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_a_run_is_alive_as_long_as_its_server():
    assert is_alive((os.getpid(), _started(), _boot()))
    assert not is_alive((os.getpid(), "1", _boot()))
    assert not is_alive((2**22, "", _boot()))
    assert not is_alive((os.getpid(), _started(), "another boot"))


def test_a_process_without_a_server_has_no_run():
    done = subprocess.run(
        [sys.executable, "-c", "from obs_runtime._board.run import own_run; print(own_run())"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "None\n"
    assert own_run() is None or own_run()[0] == os.getppid()


def test_workers_of_multiprocessing_and_forked_ones_have_their_servers_run(tmp_path):
    code = """
import multiprocessing, os
from obs_runtime._board.run import own_run
def worker():
    print(own_run()[0] == os.getppid(), flush=True)
if __name__ == "__main__":
    if os.fork() == 0:
        worker()
        os._exit(0)
    os.wait()
    child = multiprocessing.get_context("spawn").Process(target=worker)
    child.start()
    child.join()
"""
    (tmp_path / "server.py").write_text(code)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "server.py")], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "True\nTrue\n"


def test_a_reader_never_sees_half_a_publication(folder):
    writer, reader = Board(folder), Board(folder)
    done = threading.Event()
    seen = []

    def read() -> None:
        while not done.is_set():
            (family,) = [one for one in reader.collect() if one.metadata.name == "a"] or [None]
            if family is not None:
                seen.append((len(set(family.values)), len(family.values), family.values[0]))

    thread = threading.Thread(target=read)
    thread.start()
    deadline = time.monotonic() + 1.5
    number = 0
    while time.monotonic() < deadline:
        number += 1
        writer.publish(counter(float(number), labels=10 + number))
    done.set()
    thread.join()
    # A publication has one value for all its series, and as many series as that says.
    assert all((kinds, count) == (1, first + 10) for kinds, count, first in seen)
    assert [first for _, _, first in seen] == sorted(first for _, _, first in seen)
    print(f"{len(seen)} whole readings beside {number} publications")


STEPS = ["locked", "read", "replaced", "unlinked"]


@pytest.mark.parametrize("step", [*STEPS, "reset"])
def test_a_kill_between_two_steps_of_a_fold_neither_loses_nor_doubles(folder, step):
    code = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_board_files import counter
from obs_runtime._board import _points
from obs_runtime._board.board import Board
_points.reached = lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == sys.argv[2] else None
board = Board(Path(sys.argv[1]))
board.publish(counter(1.0))
board.fold()
"""
    alive = [Board(folder)] if step != "reset" else []
    for board in alive:
        board.publish(counter(10.0))
    for added in (0.1, 0.2):
        dead = Board(folder)
        dead.publish(counter(added))
        dead.close()
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), step, str(Path(__file__).parent)],
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    if step == "reset":
        # It was killed between the new sums and the removal of the old files; the next begins from zero.
        after = Board(folder)
        after.publish(counter(3.0))
        assert total(after) == 3
        assert len(live_files(folder)) == 1
        return
    expected = 10 + 1 + 0.1 + 0.2
    assert total(alive[0]) == pytest.approx(expected, abs=1e-12)
    alive[0].fold()
    assert total(alive[0]) == pytest.approx(expected, abs=1e-12)
    alive[0].fold()
    assert [path.stem for path in live_files(folder)] == [alive[0]._id.hex()]


def test_marks_that_nobody_needs_are_forgotten(folder):
    now = [1000.0]
    board = Board(folder)
    board._past = fold.Past(folder, lambda: now[0])
    board.publish(counter(1.0))
    for _ in range(3):
        dead = Board(folder)
        dead.publish(counter(1.0))
        dead.close()
        board.fold()
    assert len(board._past.read().marks) == 3
    now[0] += 601
    board.fold()
    assert board._past.read().marks == {}
    assert total(board) == 4


def test_a_forked_child_is_a_worker_of_its_own_and_keeps_nobody_alive(folder):
    registry = Registry()
    orders = registry.counter("a", "A.")
    orders.inc(5)
    board, reader = Board(folder), Board(folder)
    board.publish(registry.collect())
    assert board.lease.hold()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        board.after_fork_in_child()
        orders.reset()
        orders.inc(1)
        board.publish(registry.collect())
        os.write(writing, b"1" if board.lease.hold() else b"0")
        signal.pause()
    assert os.read(reading, 1) == b"0"
    assert (total(reader), value(reader, "obs_workers")) == (6, 2)
    board.close()
    # The parent's worker is dead, though its child lives on with a copy of what was open.
    reader.fold()
    assert (total(reader), value(reader, "obs_workers")) == (6, 1)
    assert reader.lease.hold()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    reader.fold()
    assert (total(reader), value(reader, "obs_workers")) == (6, 0)


def test_a_thousand_workers_come_and_go_without_residue(folder):
    """Killed at random, in processes of their own, while others fold and read; no total ever falls."""
    code = """
import os, random, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from contextlib import suppress
from test_board_files import counter
from obs_runtime._board._errors import GateHeldError
from obs_runtime._board.board import Board
folder, added = Path(sys.argv[1]), 0
chance = random.Random(int(sys.argv[3]))
for number in range(250):
    pid = os.fork()
    if pid == 0:
        board = Board(folder)
        for step in range(1, 4):
            board.publish(counter(float(step)))
        if chance.random() < 0.3:
            with suppress(GateHeldError):
                board.fold()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    chance.random()
    added += 3
print(added)
"""
    keeper = Board(folder)
    keeper.publish(counter(0.0))
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder), str(Path(__file__).parent), str(seed)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(4)
    ]
    before, scrapes = 0.0, 0
    deadline = time.monotonic() + 120
    while any(worker.poll() is None for worker in workers) and time.monotonic() < deadline:
        now = total(keeper)
        assert now >= before
        before, scrapes = now, scrapes + 1
        if scrapes % 10 == 0:
            # Many fold at once here; who does not come in tries again.
            with suppress(GateHeldError):
                keeper.fold()
    outputs = [worker.communicate(timeout=10)[0] for worker in workers]
    keeper.fold()
    assert total(keeper) == sum(map(int, outputs)) == 3000
    assert len(live_files(folder)) == 1
    assert list(folder.glob("*.tmp")) == []
    print(f"{scrapes} scrapes, none fell")


def test_a_line_is_said_once_for_the_workers_of_a_server(tmp_path, monkeypatch):
    folder = tmp_path / "live"
    for run, said in (((1, "a", "b"), [True, False]), ((2, "a", "b"), [True, False]), (None, [True, True])):
        monkeypatch.setattr(board_module, "own_run", lambda run=run: run)
        assert [Board(folder).announces("who may read") for _ in said] == said
    monkeypatch.setattr(board_module, "own_run", lambda: (1, "a", "b"))
    assert not Board(folder).announces("who may read")
    assert Board(folder).announces("something else")
    (folder / "announced").write_bytes(b"\xff")
    assert Board(folder).announces("who may read")
    assert {path.name for path in folder.iterdir()} == {"announced", "gate"}


def test_where_nothing_can_be_noted_every_worker_says_it(tmp_path, monkeypatch):
    monkeypatch.setattr(board_module, "own_run", lambda: (1, "a", "b"))
    (tmp_path / "file").touch()
    assert [Board(tmp_path / "file").announces("who may read") for _ in range(2)] == [True, True]
    folder = tmp_path / "live"
    board = Board(folder)
    assert board.announces("first")
    with held(folder / "gate", 1.0):
        assert board.announces("first")
