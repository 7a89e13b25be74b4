"""Exact wheels of the siblings: today's, and the oldest that the ranges of a package claim.

python3 tools/pins.py obs-storage-sqlite [--oldest]    prints the constraints as pip and uv read them

A folder of wheels given by --find-links serves a stale wheel of the same version. So each wheel lies in a folder named
by its content, and is given by its address.
"""

import os
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import floors
from workspace import (
    BUILD,
    TOP,
    DevError,
    chosen,
    command_line,
    digest,
    git,
    guarded,
    packages,
    project,
    run,
    uv,
)

INPUTS = ("pyproject.toml", "README.md", "LICENSE")


def content(source: Path) -> str:
    """A short name for what goes into the wheel of a package in this folder."""
    files = [source / name for name in INPUTS]
    files += sorted(path for path in (source / "src").rglob("*") if "__pycache__" not in path.parts)
    return digest(
        *(f"{path.relative_to(source)} {path.read_bytes().hex()}" for path in files if path.is_file())
    )


def built(package: str, source: Path) -> Path:
    """The wheel of the package in this folder, built where its content is new."""
    folder = BUILD / "wheels" / f"{package}-{content(source)}"
    if not list(folder.glob("*.whl")):
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Built apart and renamed, so that nobody installs half a wheel.
        with tempfile.TemporaryDirectory(dir=folder.parent) as part:
            command = (uv(), "build", "-q", "--wheel", "--python", sys.executable, "-o", part, str(source))
            if run(*command, quiet=True):
                raise DevError(f"the wheel of {package} could not be built: see above")
            folder.mkdir(exist_ok=True)
            for path in Path(part).glob("*.whl"):
                path.replace(folder / path.name)
    return next(folder.glob("*.whl"))


@cache
def wheel(package: str) -> Path:
    """The wheel of a package as it is today."""
    return built(package, TOP / "packages" / package)


@cache
def oldest(package: str, version: str) -> Path:
    """The wheel of this version of a package: from its tag, or from the recorded floor while there is no tag."""
    today = floors.padded(project(package)["project"]["version"])
    if version == today and not floors.tagged(package, version):
        return wheel(package)
    commit = floors.commit(package, version)
    source = BUILD / "floors" / f"{package}-{commit[:12]}"
    if not source.exists():
        source.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=source.parent) as part:
            archive = Path(part) / "source.zip"
            if git("archive", "--format=zip", "-o", str(archive), f"{commit}:packages/{package}") is None:
                raise DevError(
                    f"{package} {version} cannot be taken from commit {commit}: git fetch --tags --unshallow"
                )
            with zipfile.ZipFile(archive) as opened:
                opened.extractall(Path(part) / "source")
            (Path(part) / "source").rename(source)
    return built(package, source)


def newest_pins(names: Iterable[str] = ()) -> dict[str, Path]:
    """These packages (all where none is named) at today's wheels."""
    wanted = sorted(names) or packages()
    uv()  # set up before the threads need it
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(wanted, pool.map(wheel, wanted), strict=True))


def oldest_pins(package: str) -> dict[str, Path]:
    """The siblings of a package at the oldest version that its ranges claim; those it does not name, at today's."""
    claimed = floors.claimed(package)
    return {
        name: oldest(name, claimed[name]) if name in claimed else wheel(name)
        for name in packages()
        if name != package
    } | {package: wheel(package)}


def constraints(wheels: dict[str, Path]) -> Path:
    """A file that pins every sibling to its wheel."""
    text = "".join(f"{name} @ {path.as_uri()}\n" for name, path in wheels.items())
    path = BUILD / f"constraints-{digest(text)}.txt"
    if not path.exists():
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    return path


def main(arguments: list[str]) -> int:
    parser = command_line("pins.py", __doc__)
    parser.add_argument("package")
    parser.add_argument("--oldest", action="store_true", help="the oldest siblings that its ranges claim")
    options = parser.parse_args(arguments)
    (package,) = chosen([options.package])
    pins = oldest_pins(package) if options.oldest else newest_pins()
    print(constraints(pins).read_text(encoding="utf-8"), end="")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
