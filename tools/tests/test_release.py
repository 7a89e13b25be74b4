"""A release of one package is a dry run away, and says what stands in its way."""

import subprocess
import sys

import pytest
import release
from workspace import TOP, DevError, module, packages

pytestmark = pytest.mark.integration


def run(*arguments):
    command = [sys.executable, "tools/release.py", *arguments]
    return subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=300, check=False)


def state():
    """The content of the package that is released."""
    paths = sorted((TOP / "packages" / "obs-django").rglob("*"))
    return {
        path: path.read_bytes() for path in paths if path.is_file() and "/." not in str(path.relative_to(TOP))
    }


def test_a_dry_run_bumps_checks_builds_and_prints_the_tag_and_changes_nothing():
    before = state()
    done = run("obs-django", "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "version: 0.1.0 -> 0.1.0" in done.stdout
    assert "### Added" in done.stdout
    assert "built and checked: obs_django-0.1.0-py3-none-any.whl, obs_django-0.1.0.tar.gz\n" in done.stdout
    assert done.stdout.endswith("tag: obs-django-v0.1.0\n")
    assert state() == before


def test_a_version_that_the_changelog_does_not_know_is_refused():
    done = run("obs-django", "--dry-run", "--bump", "minor")
    assert done.returncode == 2
    assert (
        done.stderr
        == "CHANGELOG.md says nothing below a heading ## 0.2.0 - unreleased, and changes/ is empty\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a package, or a --tag"),
        (["obs-nothing", "--dry-run"], "no such package: obs-nothing"),
        (["--tag", "v1"], "'v1' is no tag of a release"),
        (["--tag", "obs-core-v9.9.9"], "the tag says 9.9.9, pyproject.toml says"),
    ],
)
def test_a_wrong_use_is_one_line(arguments, said):
    done = run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("part", "expected"), [("patch", "1.2.4"), ("minor", "1.3.0"), ("major", "2.0.0")])
def test_each_part_of_a_version_is_bumped_and_the_lower_ones_begin_again(part, expected):
    assert release.bumped("1.2.3", part) == expected


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "src" / module("obs-x")).mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "obs-x"\nversion = "0.1.0"\n')
    (tmp_path / "src" / "obs_x" / "__init__.py").write_text('__version__ = "0.1.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## 0.2.0 - unreleased\n\n- New.\n\n## 0.1.0 - 2026-01-02\n\n- Old.\n"
    )
    return tmp_path


def test_the_version_is_written_in_both_places(folder):
    release.write_version(folder, "obs-x", "0.2.0")
    assert 'version = "0.2.0"' in (folder / "pyproject.toml").read_text()
    assert (folder / "src" / "obs_x" / "__init__.py").read_text() == '__version__ = "0.2.0"\n'


def test_a_package_that_does_not_say_its_version_is_refused(folder):
    (folder / "src" / "obs_x" / "__init__.py").write_text("")
    with pytest.raises(DevError, match="__version__"):
        release.write_version(folder, "obs-x", "0.2.0")


def test_the_changelog_of_the_version_gets_its_date_and_no_other_entry_is_touched(folder):
    assert release.date_changelog(folder, "0.2.0") == "- New."
    text = (folder / "CHANGELOG.md").read_text()
    assert "unreleased" not in text
    assert "## 0.1.0 - 2026-01-02" in text


def test_an_empty_changelog_entry_is_refused(folder):
    (folder / "CHANGELOG.md").write_text(
        "# Changelog\n\n## 0.2.0 - unreleased\n\n## 0.1.0 - 2026-01-02\n\n- Old.\n"
    )
    with pytest.raises(DevError, match="says nothing"):
        release.date_changelog(folder, "0.2.0")


def test_news_in_files_become_the_entry_of_the_version(folder):
    changelog = folder / "CHANGELOG.md"
    changelog.write_text("# Changelog\n\nAll.\n\n<!-- news -->\n\n## 0.1.0 - 2026-01-02\n\n- Old.\n")
    (folder / "changes").mkdir()
    (folder / "changes" / "+colour.added.md").write_text("Colours.\n")
    (folder / "changes" / "+crash.fixed.md").write_text("A crash.\n")
    assert release.date_changelog(folder, "0.2.0") == "### Added\n\n- Colours.\n\n### Fixed\n\n- A crash."
    text = changelog.read_text()
    assert text.index("<!-- news -->") < text.index("## 0.2.0 - ") < text.index("## 0.1.0 - ")
    assert list((folder / "changes").iterdir()) == []


def test_news_in_files_and_in_the_changelog_at_once_are_refused(folder):
    (folder / "changes").mkdir()
    (folder / "changes" / "+colour.added.md").write_text("Colours.\n")
    with pytest.raises(DevError, match="and nothing on"):
        release.date_changelog(folder, "0.2.0")


@pytest.mark.parametrize("package", packages())
def test_a_changelog_says_where_news_go(package):
    text = (TOP / "packages" / package / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text.count("\n<!-- news -->\n") == 1
