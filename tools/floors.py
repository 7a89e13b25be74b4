"""The oldest version of each sibling that a package claims to work with, and where it is to be had.

python3 tools/floors.py    prints a line for each claim

A released version is built from its tag, `obs-core-v0.1.0`. While there is no tag yet it is today's source, as long as
its version is that one; when the version moves on without a tag, `release.py` records the commit in `floors.toml`.
"""

import re
import sys
import tomllib

from workspace import TOP, DevError, git, guarded, packages, requirement_name, requirements

RECORD = TOP / "tools" / "floors.toml"


def padded(version: str) -> str:
    """`0.1` and `0.1.0` are the same version: here always in three parts."""
    return ".".join((*version.split("."), "0", "0")[:3])


def claimed(package: str) -> dict[str, str]:
    """The lowest version of each sibling that this package names in a range, whatever for."""
    lowest: dict[str, str] = {}
    for line in requirements(package):
        name = requirement_name(line)
        if name not in packages() or name == package:
            continue
        found = re.search(r">=\s*([0-9.]+)\s*,\s*<", line)
        if found is None or "==" in line:
            raise DevError(f"{package} must name {name} as a range such as >=0.1,<0.2, not {line!r}")
        version = padded(found.group(1))
        if lowest.setdefault(name, version) != version:
            raise DevError(f"{package} names two ranges of {name}: {lowest[name]} and {version}")
    return lowest


def tag(package: str, version: str) -> str:
    return f"{package}-v{version}"


def tagged(package: str, version: str) -> str:
    """The commit of the tag of this version; empty where there is none, or no git."""
    return git("rev-parse", "--verify", "-q", f"refs/tags/{tag(package, version)}^{{commit}}") or ""


def latest_tag(package: str, version: str) -> str:
    """The newest release that this version must stay compatible with: of the same 0.N, or of the same N from 1 on."""
    numbers = padded(version).split(".")
    line = ".".join(numbers[:2] if numbers[0] == "0" else numbers[:1])
    found = git("tag", "--sort=-v:refname", "--list", f"{tag(package, line)}.*") or ""
    return next(iter(found.split()), "")


def recorded() -> dict[str, dict[str, str]]:
    """The commits of versions that were left without a tag: by package and version."""
    return tomllib.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}


def commit(package: str, version: str) -> str:
    """The commit that holds this version."""
    found = tagged(package, version) or recorded().get(package, {}).get(version, "")
    if not found:
        raise DevError(
            f"{package} {version} is claimed as a floor, but there is neither a tag {tag(package, version)} "
            f"(git fetch --tags) nor a commit in {RECORD.relative_to(TOP)}"
        )
    return found


def record(package: str, version: str, at: str) -> None:
    """Note the commit of a version that is left without a tag."""
    known = recorded()
    known.setdefault(package, {})[version] = at
    lines = ["# Commits of versions that have no tag; the oldest that a range claims is built from these.\n"]
    for name, versions in sorted(known.items()):
        lines += [f"\n[{name}]\n", *(f'"{number}" = "{at}"\n' for number, at in sorted(versions.items()))]
    RECORD.write_text("".join(lines), encoding="utf-8")


def main(_: list[str]) -> int:
    for package in packages():
        for sibling, version in claimed(package).items():
            at = tagged(sibling, version) or recorded().get(sibling, {}).get(version, "today's source")
            print(f"{package}: {sibling} {version} ({at})")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
