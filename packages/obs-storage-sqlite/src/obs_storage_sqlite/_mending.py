"""Headers that are damaged, made again from the content of their blocks. Pure."""

from collections.abc import Sequence
from typing import Any

from obs_core import StorageError

from ._flushes import FlushView, count_levels, time_bounds
from ._headers import Header, Stored, as_told, is_sealed_by, live, shares, stored_size
from ._looking import DAMAGE, Damage, view
from ._views import BlockView


def looked_into(stored: Stored, damage: Damage) -> Stored | None:
    """A block with a sound header; None where it is damaged beyond that, which is noted either way."""
    one = stored.header
    if one.sound:
        return stored
    try:
        mended, _ = opened(stored)
    except DAMAGE as error:
        damage.note(f"the block of cursor {one.id}", error)
        return None
    damage.note(f"the block of cursor {one.id}", "the checksum of its header is wrong", then="read in full")
    return stored._replace(header=mended)


def opened(stored: Stored) -> tuple[Header, BlockView | FlushView]:
    """A block with a sound header, as its content says where its own is none. Raises one of `DAMAGE`."""
    seen = view(stored)
    return (stored.header if stored.header.sound else _mended(stored, seen)), seen


def _mended(stored: Stored, seen: BlockView | FlushView) -> Header:
    """The header that was sealed; else the one of the content, where it is known which of its entries are gone."""
    row = stored.header.told or ()
    told = as_told(row, sealed=stored.header.sealed)
    for gone in (told.gone, None):
        found = _of_content(told, seen, gone)
        if found is not None and is_sealed_by(found, row[-1]):
            return found
    found = _of_content(told, seen, told.gone)
    if found is None or _facts(found) != _facts(told):
        raise StorageError("its header is damaged, and nobody knows which of its entries were deleted")
    size = sum(stored_size(data) for _, data in stored.parts.values()) + 80
    return found._replace(size=size, sizes=shares(size, found.counts))


def _facts(one: Header) -> Sequence[Any]:
    return one.rows, one.last, one.counts


def _of_content(told: Header, seen: BlockView | FlushView, gone: Any) -> Header | None:
    """A header with what its content says, the rest as it is told; None where that cannot be."""
    if not (gone is None or isinstance(gone, bytes)):
        return None
    rows = live(seen.count, gone)
    if not rows:
        return None
    oldest, newest = time_bounds([seen.times[row] for row in rows])
    return told._replace(
        last=seen.cursors[-1],
        rows=seen.count,
        oldest=oldest,
        newest=newest,
        counts=count_levels([seen.levels[row] for row in rows]),
        gone=gone,
    )
