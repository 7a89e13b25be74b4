"""Both kinds of iterables as an asynchronous one."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import TypeVar

T = TypeVar("T")


async def each(items: AsyncIterable[T] | Iterable[T]) -> AsyncIterator[T]:
    """The items, whether they come asynchronously or not."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for one in items:
            yield one
