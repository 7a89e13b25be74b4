"""Which runtimes run in this process: one for each registry, and one for each file."""

import os
import weakref
from pathlib import Path
from typing import Final

from obs_core import ConfigurationError, Registry

Running = weakref.ref[object]
_by_registry: "Final[weakref.WeakKeyDictionary[Registry, Running]]" = weakref.WeakKeyDictionary()
_by_file: "Final[dict[str, Running]]" = {}


def enter(runtime: object, registry: Registry, path: Path | None) -> None:
    """This one runs from now on. Raises `ConfigurationError` beside another with its registry or its file."""
    file = _file(path)
    if _is_another(_by_registry.get(registry), runtime):
        raise ConfigurationError("another runtime runs on this registry: stop it, or give each its own")
    if _is_another(_by_file.get(file), runtime):
        raise ConfigurationError(
            f"another runtime of this process runs on {file}: use that one, or stop it first"
        )
    _by_registry[registry] = weakref.ref(runtime)
    if file:
        _by_file[file] = weakref.ref(runtime)


def leave(runtime: object, registry: Registry) -> None:
    """It has stopped."""
    _by_registry.pop(registry, None)
    # Whatever its file is called by now: a folder of its path may have been moved.
    for file, known in list(_by_file.items()):
        if not _is_another(known, runtime):
            del _by_file[file]


def _is_another(known: Running | None, runtime: object) -> bool:
    other = None if known is None else known()
    return other is not None and other is not runtime


def _file(path: Path | None) -> str:
    return "" if path is None else os.path.realpath(path)
