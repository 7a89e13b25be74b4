"""Timing of blocks and of functions, sync and async."""

from collections.abc import Callable
from functools import partial, wraps
from time import perf_counter
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")

# CO_COROUTINE and CO_GENERATOR | CO_ASYNC_GENERATOR of `inspect`, whose import costs more than ours.
_COROUTINE = 0x80
_GENERATOR = 0x20 | 0x200


class Timer:
    """Gives the seconds that passed to `observe`, after a failure too. As a context manager it is for one block."""

    __slots__ = ("_begun", "_observe")

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._begun = 0.0

    def __enter__(self) -> Self:
        self._begun = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._observe(perf_counter() - self._begun)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Time each call, of a coroutine function until its end. Raises `TypeError` for what cannot be called."""
        if not callable(function):
            raise TypeError(f"time() decorates a function, not {function!r}")
        flags = _flags(function)
        if flags & _GENERATOR:
            raise TypeError(
                f"time() cannot tell when the generator {function!r} ends: time a block inside it"
            )
        return self._around_coroutine(function) if flags & _COROUTINE else self._around(function)

    def _around(self, function: Callable[P, R]) -> Callable[P, R]:
        observe = self._observe

        @wraps(function)
        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            with Timer(observe):
                return function(*args, **kwargs)

        return timed

    def _around_coroutine(self, function: Callable[P, R]) -> Callable[P, R]:
        observe = self._observe
        awaitable = cast(Callable[..., Any], function)

        @wraps(function)
        async def timed(*args: P.args, **kwargs: P.kwargs) -> Any:
            with Timer(observe):
                return await awaitable(*args, **kwargs)

        return cast(Callable[P, R], timed)


def _flags(function: Any) -> int:
    """The flags of the code that a call runs: of a function, a method, a `partial` of one, or an object's own."""
    while isinstance(function, partial):
        function = function.func
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return getattr(code, "co_flags", 0)
