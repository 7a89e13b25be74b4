"""The checks bite: each finds what it is there for."""

import audit
import checks
import floors
import pytest
from workspace import DevError, set_up

pytestmark = pytest.mark.integration
RELEASED = "def ask(name, limit=1): ...\n"


@pytest.fixture
def released(repository):
    """A core whose 0.1.0 was released with a function, and is 0.1.1 now."""
    set_up()
    repository.write("obs-core", "0.1.0", RELEASED)
    repository.git("commit", "-qam", "a function")
    repository.git("tag", "obs-core-v0.1.0")
    return repository


def test_a_public_name_that_goes_away_is_found(released, capfd):
    released.write("obs-core", "0.1.1", "def answer(): ...\n")
    assert checks.api() != 0
    assert "ask" in capfd.readouterr().out


def test_a_parameter_that_goes_away_is_found(released):
    released.write("obs-core", "0.1.1", "def ask(name): ...\n")
    assert checks.api() != 0


def test_what_is_added_breaks_nothing(released):
    released.write("obs-core", "0.1.1", RELEASED + "def more(): ...\n")
    assert checks.api() == 0


def test_the_next_minor_release_before_1_may_break(released):
    released.write("obs-core", "0.2.0", "def answer(): ...\n")
    assert checks.api() == 0


def test_without_a_release_there_is_nothing_to_break(repository):
    repository.write("obs-core", "0.1.0", "")
    assert checks.api() == 0


def test_the_newest_tag_of_the_line_is_compared_with(repository):
    for version in ("0.1.2", "0.1.10", "0.2.0", "1.4.0"):
        repository.git("tag", f"obs-core-v{version}")
    assert floors.latest_tag("obs-core", "0.1.11") == "obs-core-v0.1.10"
    assert floors.latest_tag("obs-core", "0.3.0") == ""
    assert floors.latest_tag("obs-core", "1.9.0") == "obs-core-v1.4.0"


def test_an_unknown_step_is_an_error_that_names_those_there_are():
    with pytest.raises(DevError, match="ruff-check, ruff-format, mypy, contracts"):
        checks.main(["spelling"])


def test_every_package_is_under_the_contracts():
    assert checks.contracts() == 0
    text = (checks.BUILD / "importlinter.toml").read_text(encoding="utf-8")
    assert all(text.count(f"'{checks.module(name)}'") >= 1 for name in checks.packages())


def test_a_known_weakness_is_a_line_with_the_release_that_mends_it():
    weak = {"name": "x", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1", "2.0"]}]}
    sound = {"name": "y", "version": "1.0", "vulns": []}
    assert audit.weaknesses([weak, sound]) == ["x 1.0: PYSEC-1, mended in 1.1, 2.0"]


def test_an_index_that_knows_nothing_is_no_success():
    with pytest.raises(DevError, match="nothing could be audited"):
        audit.weaknesses([{"name": "x", "skip_reason": "not found"}])
