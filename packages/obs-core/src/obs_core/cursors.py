"""Cursors: the generation of a storage and a number that only grows, as text."""

from typing import Final

from ._errors import CursorExpiredError, QueryError

# What a storage can count to: SQLite's integers.
LARGEST: Final = 2**63 - 1


def cursor_text(generation: str, number: int) -> str:
    """The cursor of an entry; opaque to those who read it."""
    return f"{generation}-{number}"


def parse_cursor(cursor: str, generation: str) -> int:
    """The number of a cursor of this generation.

    Raises `QueryError` for what is no cursor, `CursorExpiredError` for one of another generation.
    """
    given, dash, number = cursor.partition("-")
    if not (
        dash
        and given.isascii()
        and given.isalnum()
        and number.isascii()
        and number.isdigit()
        and len(number) < 20
        and int(number) <= LARGEST
    ):
        raise QueryError("after", f"{cursor[:80]!r} is no cursor: give one that an entry came with")
    if given != generation:
        raise CursorExpiredError()
    return int(number)
