"""python3 tools/dev.py replay FOLDER [--storage sqlite|ring|memory|all]

Takes each log file below a folder through the whole path: its lines through `logging` into each storage, and back by
time, level, text, attribute and page, held against what plain Python gives on the same lines.
"""

from pathlib import Path

import composed
from workspace import BUILD, TOP, DevError, command_line, run

STORAGES = ("sqlite", "ring", "memory")


def main(arguments: list[str]) -> int:
    """Run it where the wheels of today are installed; 1 where anything differs."""
    parser = command_line("dev.py replay", __doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--storage", choices=(*STORAGES, "all"), default="all")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        raise DevError(f"{options.folder} is no folder")
    chosen = STORAGES if options.storage == "all" else (options.storage,)
    python = composed.install(BUILD / "replay", "obs-runtime", "obs-storage-sqlite", "obs-storage-ring")
    command = (str(python), "-m", "replay.inside", str(options.folder.resolve()), *chosen)
    return run(*command, env={"PYTHONPATH": str(TOP / "tools")})
