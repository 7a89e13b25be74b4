"""Run the benchmarks of packages, each script in an environment with its peers (named in the script itself)."""

import sys

import pins
from workspace import TOP, chosen, run, uv

# What the scripts of all packages share.
SHARED = TOP / "packages" / "obs-core" / "benchmarks"


def main(arguments: list[str]) -> int:
    first = next((place for place, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    names, options = arguments[:first], arguments[first:]
    scripts = [
        path for name in chosen(names) for path in sorted(TOP.glob(f"packages/{name}/benchmarks/*.py"))
    ]
    wheels = pins.newest_pins()
    constraints = pins.constraints(wheels)
    return max(
        (
            run(
                *(uv(), "run", "-q", "--isolated", "--no-project", "--python", sys.executable),
                *(part for path in wheels.values() for part in ("--with", str(path))),
                *("--script", str(script), *options),
                env={"UV_CONSTRAINT": str(constraints), "PYTHONPATH": str(SHARED)},
            )
            for script in scripts
        ),
        default=0,
    )
