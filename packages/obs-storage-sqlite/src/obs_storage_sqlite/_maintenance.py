"""What one worker at a time does in the background, one short step after another."""

from ._database import Database
from ._metric_rows import seal as seal_samples
from ._sealing import compact, seal


def maintain(database: Database) -> bool:
    """Do one step, the most useful first; whether there may be more to do."""
    return seal(database) or seal_samples(database) or compact(database) or _tidy(database)


def _tidy(database: Database) -> bool:
    database.make_reserve()
    return database.reclaim(keep_free=_spare(database))


def _spare(database: Database) -> int:
    """Some free pages are kept for the next writes: to give them back and take them again costs both ways."""
    (pages,) = database.read(lambda connection: connection.execute("PRAGMA page_count").fetchone())
    return 256 + int(pages) // 32
