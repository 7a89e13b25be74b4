"""What one worker at a time does in the background, one short step after another."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from . import _metric_rows as samples
from . import _sealing as logs
from ._database import Database
from ._looking import Damage
from ._resource import Resource
from ._series import Unused

T = TypeVar("T")


class _EndingError(Exception):
    """While the interpreter ends no thread is to be had."""


async def maintain(resource: Resource, log_damage: Damage, metric_damage: Damage, unused: Unused) -> bool:
    """Do one step, the most useful first; whether there may be more to do.

    What takes long is done in a thread of its own: the one that writes is free meanwhile.
    """
    if await resource.run(Database.is_settled):
        return False
    plan = await resource.run(logs.plan_seal)
    if plan is not None:
        return await _rewrite(resource, plan, log_damage)
    if await compact(resource, log_damage) or await _seal_samples(resource, metric_damage):
        return True
    if await resource.run(unused.step):
        return True
    return await resource.run(_tidy)


async def compact(resource: Resource, damage: Damage) -> bool:
    """Rewrite a block of which most is gone; whether there was one."""
    plan = await resource.run(logs.plan_compact)
    return plan is not None and await _rewrite(resource, plan, damage)


async def _rewrite(resource: Resource, plan: logs.Plan, damage: Damage) -> bool:
    """Make one block of what is planned; whether there may be more to do."""
    try:
        merged = await _in_thread(logs.merge, plan)
    except _EndingError:
        # It is left to the next start.
        return False
    if merged.block is None:
        damage.note(f"the block of cursor {merged.old[0].id}", merged.problem)
    return await resource.run(lambda database: logs.replace(database, merged))


async def _seal_samples(resource: Resource, damage: Damage) -> bool:
    found = await resource.run(samples.plan_seal)
    if found is None:
        return False
    try:
        window = await _in_thread(samples.merge, found)
    except _EndingError:
        return False
    for id_ in sorted({id_ for id_, _ in window.old}.difference(row.id for row in window.rows)):
        damage.note(f"the instant {id_}", "it cannot be sealed")
    return await resource.run(lambda database: samples.replace(database, window))


async def _in_thread(work: Callable[..., T], *values: Any) -> T:
    try:
        future = asyncio.get_running_loop().run_in_executor(None, partial(work, *values))
    except RuntimeError as error:
        # What the work itself raises comes later, and is not taken for this.
        raise _EndingError from error
    return await future


def _tidy(database: Database) -> bool:
    database.make_reserve()
    if database.reclaim(keep_free=_spare(database)):
        return True
    database.settle()
    return False


def _spare(database: Database) -> int:
    """Some free pages are kept for the next writes: to give them back and take them again costs both ways."""
    ((pages,),) = database.select("PRAGMA page_count")
    return 256 + int(pages) // 32
