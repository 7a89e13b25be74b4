"""What one worker at a time does in the background, one short step after another."""

import asyncio

from . import _metric_rows as samples
from . import _sealing as logs
from ._database import Database
from ._resource import Resource


async def maintain(resource: Resource) -> bool:
    """Do one step, the most useful first; whether there may be more to do.

    What takes long is done in a thread of its own: the one that writes is free meanwhile.
    """
    try:
        return await _step(resource)
    except RuntimeError:
        # While the interpreter ends no thread is to be had: it is left to the next start.
        return False


async def _step(resource: Resource) -> bool:
    plan = await resource.run(logs.plan_seal) or await resource.run(logs.plan_compact)
    if plan is not None:
        merged = await asyncio.to_thread(logs.merge, plan)
        return await resource.run(lambda database: logs.replace(database, merged))
    found = await resource.run(samples.plan_seal)
    if found is not None:
        window = await asyncio.to_thread(samples.merge, found)
        return await resource.run(lambda database: samples.replace(database, window))
    return await resource.run(_tidy)


def _tidy(database: Database) -> bool:
    database.make_reserve()
    return database.reclaim(keep_free=_spare(database))


def _spare(database: Database) -> int:
    """Some free pages are kept for the next writes: to give them back and take them again costs both ways."""
    ((pages,),) = database.select("PRAGMA page_count")
    return 256 + int(pages) // 32
