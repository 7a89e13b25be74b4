"""A logger of our own, for those who log attributes: `logger.info("paid", order=7)`."""

import sys
from collections.abc import Callable
from time import time
from typing import Any

from ._attributes import clean, text_of
from ._context import bound
from ._exceptions import exception_attributes
from ._records import LogEntry

Accept = Callable[[LogEntry], None]


class Logger:
    """Writes entries under one name; keyword arguments are their attributes. Never raises."""

    __slots__ = ("_accept", "name")

    def __init__(self, name: str, accept: Accept) -> None:
        self.name = name
        self._accept = accept

    def trace(self, message: str, /, **attributes: Any) -> None:
        self.log("TRACE", message, **attributes)

    def debug(self, message: str, /, **attributes: Any) -> None:
        self.log("DEBUG", message, **attributes)

    def info(self, message: str, /, **attributes: Any) -> None:
        self.log("INFO", message, **attributes)

    def warning(self, message: str, /, **attributes: Any) -> None:
        self.log("WARNING", message, **attributes)

    def error(self, message: str, /, **attributes: Any) -> None:
        self.log("ERROR", message, **attributes)

    def critical(self, message: str, /, **attributes: Any) -> None:
        self.log("CRITICAL", message, **attributes)

    def exception(self, message: str, /, **attributes: Any) -> None:
        """An ERROR with the exception that is being handled."""
        self.log("ERROR", message, **exception_attributes(sys.exc_info()), **attributes)

    def log(self, level: str, message: str, /, **attributes: Any) -> None:
        """An entry of one of the levels of `LEVELS`."""
        context = bound()
        trace_id, span_id = "", ""
        if context:
            attributes = {**context, **attributes}
            trace_id, span_id = (
                text_of(attributes.pop("trace_id", "")),
                text_of(attributes.pop("span_id", "")),
            )
        self._accept(
            LogEntry(time(), level, text_of(message), clean(attributes), self.name, trace_id, span_id)
        )
