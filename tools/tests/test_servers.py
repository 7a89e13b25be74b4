"""The servers of the end-to-end suite: what the system has is taken, what cannot be had is said."""

import pytest
import servers

pytestmark = pytest.mark.integration
WORKING = "#!/bin/sh\nexit 0\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(servers, "FOLDER", tmp_path / "servers")
    return tmp_path / "servers"


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A system without apt-get, whose programs lie in the folder that is returned."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setattr(servers, "SYSTEM", str(programs))
    monkeypatch.setattr(servers, "LIBRARIES", tmp_path / "lib")
    monkeypatch.setenv("PATH", str(programs))
    return programs


def install_clock(libraries):
    """A library that loads into a program, and one that says the year that is asked for."""
    (libraries / "machine" / "faketime").mkdir(parents=True)
    library = libraries / "machine" / "faketime" / servers.CLOCK
    library.write_text("")
    install(libraries.parent / "bin", "date", text="#!/bin/sh\necho 2001\n")
    return library


def install(programs, *names, text=WORKING):
    for name in names:
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)


def test_what_the_system_has_is_linked(folder, system, tmp_path):
    programs = servers.PACKAGE_OF.keys() - {servers.CLOCK}
    install(system, *programs)
    clock = install_clock(tmp_path / "lib")
    assert servers.get() == (folder, "")
    expected = {name: system / name for name in programs} | {servers.CLOCK: clock}
    assert {name: path.resolve() for name, path in servers.links().items()} == expected


def test_what_cannot_be_had_is_said_with_the_reason(folder, system, tmp_path):
    install(system, "nginx")
    install_clock(tmp_path / "lib")
    _, missing = servers.get()
    assert "no prometheus, promtool on this machine (there is no apt-get here)" in missing
    assert set(servers.links()) == {"nginx", servers.CLOCK}
    assert folder.is_dir()


def test_a_program_that_does_not_run_counts_as_missing(folder, system, tmp_path):
    install_clock(tmp_path / "lib")
    install(system, "nginx", "prometheus")
    install(system, "promtool", text="#!/bin/sh\nexit 127\n")
    _, missing = servers.get()
    assert "no promtool on this machine" in missing


def test_a_refusal_of_apt_is_said(folder, system):
    install(system, "apt-get", text="#!/bin/sh\necho 'E: no network'\nexit 100\n")
    _, missing = servers.get()
    assert "(E: no network)" in missing
