"""obs_runtime: the one owner of the background of obs in a process."""

from ._runtime import EmbeddedRuntime

__all__ = ["EmbeddedRuntime"]

__version__ = "0.1.0"
