"""What was said already on behalf of a service: its workers would all say the same."""

import json
from pathlib import Path
from typing import Any, Final

from . import files
from ._errors import GateHeldError
from .locks import held, make_folder
from .retired import RunKey

# Servers whose lines are remembered, and lines of each.
_RUNS: Final = 8
_LINES: Final = 32
_PATIENCE: Final = 0.2


def is_new(folder: Path, run: RunKey, line: str) -> bool:
    """Whether no worker of this run has said this line; from now on one has. True also where that cannot be known."""
    path = folder / "announced"
    try:
        make_folder(folder)
        with held(folder / "gate", _PATIENCE):
            known = _read(path)
            lines = next((said for one, said in known if one == list(run)), [])
            if line in lines:
                return False
            others = [(one, said) for one, said in known if one != list(run)]
            known = [*others, (list(run), [*lines, line][-_LINES:])][-_RUNS:]
            files.create(path, json.dumps(known).encode()).close()
    except (OSError, GateHeldError):
        pass
    return True


def _read(path: Path) -> list[tuple[list[Any], list[str]]]:
    try:
        return [(run, lines) for run, lines in json.loads(files.read_all(path))]
    except (FileNotFoundError, ValueError, TypeError):
        return []
