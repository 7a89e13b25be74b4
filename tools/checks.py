"""Lint, format, types and import contracts, as CI and the pre-commit hooks run them."""

import os
import sysconfig
from concurrent.futures import ThreadPoolExecutor

import composed
import floors
from workspace import BUILD, TOP, DevError, module, packages, project, run, set_up, tool

# What composes the packages. Tests are left out: pytest fills in their arguments, whose types would be noise.
COMPOSERS = (
    "tools/*.py",
    "tools/replay",
    "tests-e2e/harness",
    "tests-e2e/faults",
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


# Part of the core's face: a storage encodes its records with it.
TRANSITIVE = ("msgspec",)
# A plugin that is never imported.
UNUSED = ("pytest-asyncio",)
# In the standard library since Python 3.14; before, a backport is declared.
NEWER = ("compression",)


def dependencies() -> int:
    """What a package imports it declares, and the other way round; extras may name what only applications import."""
    library = sysconfig.get_path("purelib", vars={"base": str(composed.python().parent.parent)})
    ignored = f"DEP001={'|'.join(NEWER)},DEP002={'|'.join(UNUSED)},DEP003={'|'.join(TRANSITIVE)}"

    def one(name: str) -> int:
        return run(
            *(tool("deptry"), "--no-ansi", "--config", f"packages/{name}/pyproject.toml"),
            *("--optional-dependencies-dev-groups", "embedded", "--per-rule-ignores", ignored),
            f"packages/{name}/src",
            quiet=True,
            env={"PYTHONPATH": library},
        )

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return max(pool.map(one, packages()))


def api() -> int:
    """No public name of a release breaks within the releases that a range such as >=0.1,<0.2 lets in."""
    worst = 0
    for name in packages():
        version = str(project(name)["project"]["version"])
        before = floors.latest_tag(name, version)
        if before:
            command = (tool("griffe"), "check", module(name), "-s", f"packages/{name}/src", "-a", before)
            worst = max(worst, run(*command, quiet=True))
    return worst


STEPS = {
    "ruff-check": ruff_check,
    "ruff-format": ruff_format,
    "mypy": mypy,
    "contracts": contracts,
    "dependencies": dependencies,
    "api": api,
}


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
