"""Loggers that are not `logging`: structlog and loguru. Neither is imported here.

structlog through its own integration with `logging` needs nothing of this: the handler knows its records.
"""

from collections.abc import Callable, MutableMapping
from typing import Any

from ._capture import LogHandler
from ._entries import event_parts

Event = MutableMapping[str, Any]
Processor = Callable[[Any, str, Event], Event]


def structlog_processor(handler: LogHandler) -> Processor:
    """A processor that queues each event and passes it on; put it before the one that renders."""

    def process(logger: Any, method: str, event: Event) -> Event:
        message, attributes, exc_info = event_parts(event)
        name = event.get("logger") or getattr(logger, "name", "") or "structlog"
        level = event.get("level") or method
        handler.log(str(name), str(level), message, attributes, exc_info=exc_info)
        return event

    return process


def loguru_sink(handler: LogHandler) -> Callable[[Any], None]:
    """A sink: `logger.add(loguru_sink(handler), level=0)`; what is bound, or in `extra`, becomes attributes."""

    def sink(message: Any) -> None:
        record = message.record
        level = record["level"]
        handler.log(
            record["name"] or "loguru",
            level.name,
            record["message"],
            record["extra"],
            number=level.no,
            timestamp=record["time"].timestamp(),
            exc_info=record["exception"] and tuple(record["exception"]),
        )

    return sink
