"""obs_runtime: the one owner of the background of obs in a process."""

from ._board._errors import BoardError
from ._runtime import EmbeddedRuntime
from ._steps import FlushFailedError

__all__ = ["BoardError", "EmbeddedRuntime", "FlushFailedError"]

__version__ = "0.1.0"
