"""Folders that are ours alone, for those who keep files."""

from pathlib import Path


def make_private_folder(folder: Path) -> None:
    """Make it with mode 0700 where it is not there, and so all above it that are missing, under any umask.

    Raises `OSError` where it cannot be made, or something else is in its place.
    """
    try:
        folder.mkdir(mode=0o700)
    except FileNotFoundError:
        if folder.parent == folder:
            raise
        make_private_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError:  # there, as a rule; a read-only system says something else of one that is
        if not folder.is_dir():
            raise
