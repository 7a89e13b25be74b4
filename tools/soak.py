"""python3 tools/dev.py soak [NAME ...] [--minutes N]

Faults and strangers in their long form, on the wheels of today: a table of what was seen; 1 where something broke.
Each has a short form in `dev.py test e2e`. Names: disk, kills, power, writers, files, host, strangers.
"""

import os

import composed
import servers
from workspace import TOP, DevError, command_line, run

NAMES = ("disk", "kills", "power", "writers", "files", "host", "forks", "strangers")


def main(arguments: list[str]) -> int:
    parser = command_line("dev.py soak", __doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument(
        "--minutes", type=float, default=8.0, help="about how long all of it takes on two cores (8)"
    )
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in NAMES:
            raise DevError(f"no such scenario: {name}; there are {', '.join(NAMES)}")
    if not options.minutes > 0:
        raise DevError(f"--minutes {options.minutes:g}: it must be above 0")
    folder, missing = servers.get()
    if missing:
        print(missing, flush=True)
    command = (str(composed.python()), "-m", "faults.soak", "--minutes", str(options.minutes), *options.names)
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    return run(*command, env={"PATH": path, "PYTHONPATH": str(TOP / "tests-e2e"), "PYTHONUNBUFFERED": "1"})
