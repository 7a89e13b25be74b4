"""What can be wrong with the board.

ObsError
└── BoardError             the totals cannot be known now: a scrape says so instead of showing less
    ├── GateHeldError      another process, stopped perhaps, does not let go of the gate
    ├── NoRoomError        the disk is full: what was shown before is shown on, and what is new is not
    ├── UnknownFormatError a file of another release, left as it is
    └── DamagedError       no file of ours, or bytes that were changed
"""

from obs_core import ObsError


class BoardError(ObsError):
    """The board could not be read or written, so the totals of the service are not known."""

    __module__ = "obs_runtime"


class NoRoomError(BoardError):
    """There is no room for new series; the others were published."""


class UnknownFormatError(BoardError):
    """A file of another format version."""


class DamagedError(BoardError):
    """A file that is not what we wrote; a reader may have met a write, and reads again."""


class GateHeldError(BoardError):
    """Another process holds the gate, and does not let go."""
