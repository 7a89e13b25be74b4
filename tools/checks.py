"""Lint, format, types and import contracts, as CI and the pre-commit hooks run them."""

import os

import composed
from workspace import BUILD, TOP, DevError, module, packages, run, set_up, tool

# What composes the packages. Tests are left out: pytest fills in their arguments, whose types would be noise.
COMPOSERS = (
    "tools/*.py",
    "tools/replay",
    "tests-e2e/harness",
    "examples/*.py",
    "examples/*/*.py",
    "examples/*/*/*.py",
)


def ruff_check() -> int:
    return run(tool("ruff"), "check", "-q", "--config", "tools/ruff.toml", ".")


def ruff_format() -> int:
    return run(tool("ruff"), "format", "-q", "--check", "--config", "tools/ruff.toml", ".")


def sources() -> str:
    """The source folders of all packages, as a search path."""
    return os.pathsep.join(str(path) for path in sorted(TOP.glob("packages/*/src")))


def mypy() -> int:
    """Strict types, over the packages and over all that composes them."""
    files = [path for pattern in COMPOSERS for path in sorted(TOP.glob(pattern))]
    bases = {path.parent for path in files if not (path.parent / "__init__.py").exists()}
    return run(
        *(tool("mypy"), "--config-file", "tools/mypy.ini", "--python-executable", str(composed.python())),
        *("--cache-dir", str(BUILD / "mypy")),
        *(f"packages/{name}/src/{module(name)}" for name in packages()),
        *map(str, files),
        env={"MYPYPATH": os.pathsep.join([sources(), *map(str, sorted(bases))])},
    )


def contracts() -> int:
    """The arrows of the design. The names of the packages are filled in, so that a new one is under them at once."""
    names = [module(name) for name in packages()]
    text = (TOP / "tools" / "importlinter.toml").read_text(encoding="utf-8")
    text = text.replace('"PACKAGES"', str(names)[1:-1]).replace('"OTHERS"', str(names[1:])[1:-1])
    config = BUILD / "importlinter.toml"
    config.write_text(text, encoding="utf-8")
    command = (tool("lint-imports"), "--no-cache", "--config", str(config))
    return run(*command, quiet=True, env={"PYTHONPATH": sources()})


STEPS = {"ruff-check": ruff_check, "ruff-format": ruff_format, "mypy": mypy, "contracts": contracts}


def main(names: list[str]) -> int:
    """Run these steps, or all; every one is run, whatever the others say."""
    unknown = [name for name in names if name not in STEPS]
    if unknown:
        raise DevError(f"no such step: {', '.join(unknown)}; there are {', '.join(STEPS)}")
    set_up()
    worst = 0
    for name in names or STEPS:
        failed = STEPS[name]()
        print(f"{'FAILED' if failed else 'ok':7} {name}", flush=True)
        worst = max(worst, failed)
    return worst
