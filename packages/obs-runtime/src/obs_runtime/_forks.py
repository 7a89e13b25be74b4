"""Forks: the background stops before, and starts again after; the child is somebody else."""

import os
import weakref
from typing import Protocol

from . import _console
from ._exits import look_again


class Forking(Protocol):
    def before_fork(self) -> None: ...

    def after_fork_in_parent(self) -> None: ...

    def after_fork_in_child(self) -> None: ...


# Hooks cannot be taken back, so there is one for the process, and runtimes come and go.
_living: "weakref.WeakSet[Forking]" = weakref.WeakSet()
_registered: list[bool] = []


def watch(runtime: Forking) -> None:
    """Tell this runtime of forks while it lives."""
    # Not at import: hooks in the child run in the order of registration, and a background that begins there must
    # find the storage's and the locks' done.
    if not _registered and hasattr(os, "register_at_fork"):
        _registered.append(True)
        os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
    _living.add(runtime)


def _before() -> None:
    for runtime in list(_living):
        runtime.before_fork()
    _console.before_fork()


def _after_in_parent() -> None:
    _console.after_fork_in_parent()
    for runtime in list(_living):
        runtime.after_fork_in_parent()


def _after_in_child() -> None:
    look_again()
    for runtime in list(_living):
        runtime.after_fork_in_child()
