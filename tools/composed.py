"""One environment with the built wheels of all packages and all that examples and the end-to-end suite need."""

import sys
from pathlib import Path

import pins
from workspace import BUILD, SCRIPTS, TOP, digest, make, packages, project, python_of, uv

ENVIRONMENT = BUILD / "all"
NEEDS = TOP / "tests-e2e" / "requirements.txt"
# Django says nothing of its types itself.
TYPES = ("django-stubs",)


def install(environment: Path, wanted: list[str], *files: Path) -> Path:
    """An environment with these requirements, of ours the wheels of today; its Python. Made once for each state."""
    constraints = pins.constraints(pins.newest_pins())
    state = digest(
        constraints.name, *wanted, *(path.read_text(encoding="utf-8") for path in files), sys.version
    )
    options = [part for path in files for part in ("-r", str(path))]
    make(
        environment,
        state,
        (uv(), "venv", "-q", "--clear", "--python", sys.executable, str(environment)),
        (
            *(uv(), "pip", "install", "-q", "--python", str(python_of(environment))),
            *("--constraint", str(constraints), *wanted, *options),
        ),
    )
    return python_of(environment)


def requirement(package: str) -> str:
    """The wheel of a package with all its extras."""
    address = pins.wheel(package).as_uri()
    extras = ",".join(sorted(project(package)["project"].get("optional-dependencies", {})))
    return f"{package}[{extras}] @ {address}" if extras else f"{package} @ {address}"


def python() -> Path:
    wanted = [*(requirement(name) for name in packages()), *TYPES]
    return install(ENVIRONMENT, wanted, *([NEEDS] if NEEDS.exists() else []))


def command(name: str) -> str:
    """The path of a command that is installed there."""
    return str(ENVIRONMENT / SCRIPTS / name)
