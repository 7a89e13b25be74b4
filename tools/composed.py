"""One environment with the built wheels of all packages and all that examples and the end-to-end suite need."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pins
from workspace import BUILD, TOP, digest, make, needs, packages, project, python_of, uv

ENVIRONMENT = BUILD / "all"
NEEDS = TOP / "tests-e2e" / "pyproject.toml"
# Django says nothing of its types itself.
TYPES = ("django-stubs",)


def install(environment: Path, *wanted: str, groups: Sequence[Path] = (), only: str = "") -> Path:
    """An environment with these requirements and the `test` groups of these projects; its Python.

    Of ours it has the wheels of today (`only`: of this package and of those it needs). It is made once for each state.
    """
    constraints = pins.constraints(pins.newest_pins(needs(only) if only else packages()))
    texts = [path.read_text(encoding="utf-8") for path in groups]
    make(
        environment,
        digest(constraints.name, *wanted, *texts, sys.version),
        (uv(), "venv", "-q", "--clear", "--python", sys.executable, str(environment)),
        (
            *(uv(), "pip", "install", "-q", "--python", str(python_of(environment))),
            *("--constraint", str(constraints), *wanted),
            *(part for path in groups for part in ("--group", f"{path}:test")),
        ),
    )
    return python_of(environment)


def requirement(package: str) -> str:
    """The wheel of a package with all its extras."""
    address = pins.wheel(package).as_uri()
    extras = ",".join(sorted(project(package)["project"].get("optional-dependencies", {})))
    return f"{package}[{extras}] @ {address}" if extras else f"{package} @ {address}"


def python() -> Path:
    """The Python of the one environment with everything."""
    wanted = [requirement(name) for name in packages()]
    return install(ENVIRONMENT, *wanted, *TYPES, groups=[NEEDS] if NEEDS.exists() else [])
