# /// script
# requires-python = ">=3.11"
# dependencies = ["opentelemetry-sdk>=1.30"]
# ///
"""What a logging call costs over one that goes to `NullHandler`: until it is queued, not until it is written."""

import logging
import queue
import threading
import warnings
from logging.handlers import QueueHandler
from statistics import median

from shared.side_by_side import ROUNDS, US, Measure, named, over, rounds, rows, seconds, timed, title

from obs_core import LogHandler

NUMBER = 20_000
CALLS = {
    "log.info(text)": "log.info('order paid')",
    "log.info with two arguments": "log.info('order %d of %s paid', 7, 'pro')",
    "log.info with extra": "log.info('order paid', extra=extra)",
}


def opentelemetry_handler() -> logging.Handler:
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler  # noqa: PLC0415
    from opentelemetry.sdk._logs.export import (  # noqa: PLC0415
        BatchLogRecordProcessor,
        ConsoleLogRecordExporter,
    )

    class Nowhere(ConsoleLogRecordExporter):
        def export(self, batch):
            return None

    warnings.simplefilter("ignore")  # where the handler lives changes between their versions
    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(Nowhere(), schedule_delay_millis=600_000))
    return LoggingHandler(logger_provider=provider)


def measure(handler: logging.Handler, statement: str, empty: object = None) -> Measure:
    log = logging.Logger("shop")
    log.addHandler(handler)
    run = timed(statement, {"log": log, "extra": {"order": 7, "plan": "pro"}}, NUMBER)

    def one() -> float:
        figure = run()
        if callable(empty):
            empty()
        return figure

    return one


def write(handler: LogHandler, over: threading.Event) -> None:
    """The thread of a runtime, whose own calls are not captured."""
    with handler.silence():
        over.wait()


def main() -> None:
    title("Logging calls, over NullHandler")
    ours = LogHandler()
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()

    def take_all() -> None:
        while not waiting.empty():
            waiting.get()

    otel = opentelemetry_handler()
    thread = threading.Thread(target=write, args=(ours, end := threading.Event()), daemon=True)
    thread.start()
    for what, statement in CALLS.items():
        figures = rounds(
            {
                "none": measure(logging.NullHandler(), statement),
                US: measure(ours, statement, ours.queue.clear),
                "QueueHandler and SimpleQueue": measure(QueueHandler(waiting), statement, take_all),
                named("opentelemetry-sdk"): measure(otel, statement),
            },
            ROUNDS * 2 + 1,
        )
        rows(what, over(figures, "none"), "budget: at most 1.0 us" if what == "log.info(text)" else "")
        print(
            f"{'':44} {'NullHandler, the call itself':40} {seconds(median(figures['none'])):>10}", flush=True
        )
    end.set()
    thread.join()


if __name__ == "__main__":
    main()
