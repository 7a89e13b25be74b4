"""A logger of our own, for those who log attributes: `logger.info("paid", order=7)`."""

from collections.abc import Callable
from typing import Any

# `LogHandler.log`: name, level, message, attributes, and `exc_info` by name.
Log = Callable[..., None]


class Logger:
    """Writes entries under one name; keyword arguments are their attributes. Never raises."""

    __slots__ = ("_log", "name")

    def __init__(self, name: str, log: Log) -> None:
        self.name = name
        self._log = log

    def trace(self, message: object, /, **attributes: Any) -> None:
        self._log(self.name, "TRACE", message, attributes)

    def debug(self, message: object, /, **attributes: Any) -> None:
        self._log(self.name, "DEBUG", message, attributes)

    def info(self, message: object, /, **attributes: Any) -> None:
        self._log(self.name, "INFO", message, attributes)

    def warning(self, message: object, /, **attributes: Any) -> None:
        self._log(self.name, "WARNING", message, attributes)

    def error(self, message: object, /, **attributes: Any) -> None:
        self._log(self.name, "ERROR", message, attributes)

    def critical(self, message: object, /, **attributes: Any) -> None:
        self._log(self.name, "CRITICAL", message, attributes)

    def exception(self, message: object, /, **attributes: Any) -> None:
        """An ERROR with the exception that is being handled."""
        self._log(self.name, "ERROR", message, attributes, exc_info=True)

    def log(self, level: str, message: object, /, **attributes: Any) -> None:
        """An entry of one of the levels of `LEVELS`; another becomes INFO, and its name an attribute."""
        self._log(self.name, level, message, attributes)
