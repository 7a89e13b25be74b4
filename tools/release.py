"""A release of one package.

python3 tools/release.py obs-django --dry-run          bumps a copy, checks the changelog, builds, checks the wheel,
                                                       prints the tag; changes nothing
python3 tools/release.py obs-django [--bump minor]     the same, and writes version and changelog into the tree
python3 tools/release.py --tag obs-django-v0.1.0       what CI does of a tag: builds that package alone, into --out

A version that has no tag yet is released as it is; without --bump, one that has is followed by the next patch. What
changed stands below `## VERSION - unreleased` in the package's CHANGELOG.md, or in files such as changes/+x.added.md.
"""

import re
import shutil
import sys
import tempfile
import zipfile
from datetime import UTC, datetime
from email.parser import Parser as MetadataParser
from pathlib import Path

import floors
import pins
from workspace import (
    TOP,
    DevError,
    chosen,
    command_line,
    git,
    guarded,
    module,
    packages,
    project,
    python_of,
    requirement_name,
    run,
    set_up,
    tool,
    uv,
)

BUMPS = ("patch", "minor", "major")


def bumped(version: str, part: str) -> str:
    """The next version: `0.1.3` and `minor` give `0.2.0`."""
    numbers = [int(number) for number in floors.padded(version).split(".")]
    place = 2 - BUMPS.index(part)
    return ".".join(map(str, [*numbers[:place], numbers[place] + 1, *[0] * (2 - place)]))


def next_version(package: str, part: str | None) -> str:
    """The version to release."""
    version = str(project(package)["project"]["version"])
    if part is None and not floors.tagged(package, version):
        return version
    return bumped(version, part or "patch")


def write_version(folder: Path, package: str, version: str) -> None:
    """Set the version in the two places that hold it."""
    for path, pattern in (
        (folder / "pyproject.toml", r'(?m)^version = "[^"]+"$'),
        (folder / "src" / module(package) / "__init__.py", r'(?m)^__version__ = "[^"]+"$'),
    ):
        name = pattern.removeprefix("(?m)^").partition(" ")[0]
        text, count = re.subn(pattern, f'{name} = "{version}"', path.read_text(encoding="utf-8"))
        if count != 1:
            raise DevError(f"{path.relative_to(folder)} of {package} must hold one line {name} = ...")
        path.write_text(text, encoding="utf-8")


def gather_news(folder: Path, version: str, today: str) -> None:
    """Put the files of `changes` into the changelog, below a heading of this version, and take them away."""
    text = (folder / "CHANGELOG.md").read_text(encoding="utf-8")
    if "<!-- news -->\n" not in text or f"## {version} - unreleased" in text:
        raise DevError(
            f"with files in changes/, CHANGELOG.md must have a line <!-- news --> and nothing on {version}"
        )
    set_up()
    command = (tool("towncrier"), "build", "--config", "tools/towncrier.toml", "--dir", str(folder))
    if run(*command, "--name", folder.name, "--version", version, "--date", today, "--yes", quiet=True):
        raise DevError("the news could not be put into CHANGELOG.md: see above")


def date_changelog(folder: Path, version: str) -> str:
    """Put today's date into the heading of this version; what stands below it. Raises `DevError` for nothing."""
    path = folder / "CHANGELOG.md"
    today = datetime.now(UTC).date().isoformat()
    if list((folder / "changes").glob("*.md")):
        gather_news(folder, version, today)
    text = path.read_text(encoding="utf-8")
    found = re.search(
        rf"(?ms)^## {re.escape(version)} - (unreleased|\d{{4}}-\d\d-\d\d)\n(.*?)(?=^## |\Z)", text
    )
    if found is None or "- " not in found.group(2):
        raise DevError(
            f"CHANGELOG.md says nothing below a heading ## {version} - unreleased, and changes/ is empty"
        )
    path.write_text(text.replace(f"## {version} - unreleased", f"## {version} - {today}"), encoding="utf-8")
    return found.group(2).strip()


def build(folder: Path, out: Path) -> Path:
    """Source archive and wheel of the package in this folder; the wheel."""
    command = (uv(), "build", "-q", "--python", sys.executable, "-o", str(out), str(folder))
    if run(*command, quiet=True):
        raise DevError("it could not be built: see above")
    return next(out.glob("*.whl"))


def built(out: Path) -> list[Path]:
    """What an index is given; what builds puts a `.gitignore` beside them."""
    return sorted(path for path in out.iterdir() if path.suffix in (".whl", ".gz"))


def check_files(wheel: Path, package: str, version: str) -> None:
    """What the wheel holds, and what it says of itself."""
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        said = next(name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = MetadataParser().parsestr(opened.read(said).decode("utf-8"))
    for wanted in (f"{module(package)}/py.typed", said.replace("METADATA", "licenses/LICENSE")):
        if wanted not in names:
            raise DevError(f"{wheel.name} lacks {wanted}")
    if (metadata["Name"], metadata["Version"]) != (package, version) or not metadata.get_payload():
        raise DevError(
            f"{wheel.name} says that it is {metadata['Name']} {metadata['Version']}, or has no README"
        )
    for line in metadata.get_all("Requires-Dist", []):
        if requirement_name(line) in packages() and not (">=" in line and "<" in line):
            raise DevError(f"{wheel.name} must name a sibling as a range, not {line!r}")


def check_alone(wheel: Path, package: str, version: str, folder: Path) -> None:
    """Installed into an empty environment, it is imported and knows its version."""
    siblings = {name: path for name, path in pins.newest_pins().items() if name != package}
    python = str(python_of(folder))
    ask = f"import {module(package)} as it; assert it.__version__ == {version!r}, it.__version__"
    if (
        run(uv(), "venv", "-q", "--python", sys.executable, str(folder))
        or run(
            *(uv(), "pip", "install", "-q", "--python", python, str(wheel)),
            *("--constraint", str(pins.constraints(siblings))),
        )
        or run(python, "-c", ask)
    ):
        raise DevError(f"{wheel.name} does not work alone: see above")


def check_wheel(out: Path, wheel: Path, package: str, version: str) -> None:
    """All that is checked before anything is published."""
    set_up()
    if run(tool("twine"), "check", "--strict", *map(str, built(out)), quiet=True):
        raise DevError("an index would refuse it: see above")
    if run(tool("check-wheel-contents"), str(wheel), quiet=True):
        raise DevError("the wheel holds what it should not: see above")
    check_files(wheel, package, version)
    with tempfile.TemporaryDirectory() as folder:
        check_alone(wheel, package, version, Path(folder) / "alone")


def of_tag(tag: str, out: Path) -> None:
    """Build what this tag names; version and changelog must be ready in the tree."""
    package, _, version = tag.rpartition("-v")
    if package not in packages() or not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise DevError(f"{tag!r} is no tag of a release: use PACKAGE-vN.N.N, of {', '.join(packages())}")
    said = project(package)["project"]["version"]
    if said != version:
        raise DevError(f"the tag says {version}, pyproject.toml says {said}")
    source = TOP / "packages" / package
    if f"## {version} - unreleased" in (source / "CHANGELOG.md").read_text(encoding="utf-8"):
        raise DevError(f"CHANGELOG.md still calls {version} unreleased: run tools/release.py {package} first")
    out.mkdir(parents=True, exist_ok=True)
    check_wheel(out, build(source, out), package, version)
    print(f"{package} {version}: built and checked, in {out}")


def rehearse(package: str, version: str) -> None:
    """The whole release on a copy."""
    print(f"version: {project(package)['project']['version']} -> {version}")
    with tempfile.TemporaryDirectory() as part:
        folder, out = Path(part) / package, Path(part) / "dist"
        shutil.copytree(
            TOP / "packages" / package, folder, ignore=shutil.ignore_patterns("__pycache__", ".*")
        )
        write_version(folder, package, version)
        print(f"changelog:\n{date_changelog(folder, version)}")
        wheel = build(folder, out)
        check_wheel(out, wheel, package, version)
        print(f"built and checked: {', '.join(path.name for path in built(out))}")
    print(f"tag: {floors.tag(package, version)}")


def write(package: str, version: str) -> None:
    """Put version and date into the tree, for a person to commit, tag and push."""
    before = str(project(package)["project"]["version"])
    if before != version and not floors.tagged(package, before):
        floors.record(package, before, git("rev-parse", "HEAD") or "")
    source = TOP / "packages" / package
    write_version(source, package, version)
    date_changelog(source, version)
    tag = floors.tag(package, version)
    print(
        f'now: git commit -a -m "Release {package} {version}" && git tag {tag} && git push origin HEAD {tag}'
    )


def main(arguments: list[str]) -> int:
    parser = command_line("release.py", __doc__)
    parser.add_argument("package", nargs="?")
    parser.add_argument("--bump", choices=BUMPS)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--tag")
    parser.add_argument("--out", type=Path, default=TOP / "dist")
    options = parser.parse_args(arguments)
    if bool(options.tag) == bool(options.package):
        raise DevError("release.py: name a package, or a --tag")
    if options.tag:
        of_tag(options.tag, options.out)
        return 0
    (package,) = chosen([options.package])
    version = next_version(package, options.bump)
    rehearse(package, version)
    if not options.dry_run:
        write(package, version)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
