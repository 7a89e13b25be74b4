"""A process beside the server, on the same data: counts as `beside`, and has two children count as well."""

import logging
import multiprocessing
import time

from counted import orders, runtime


def child(plan: str) -> None:
    """The work of a child; a spawned one imports this module anew."""
    with runtime:
        orders.labels(plan).inc(5)


if __name__ == "__main__":
    with runtime:
        orders.labels("beside").inc(3)
        logging.getLogger("beside").info("at work")
        for method in ("fork", "spawn"):
            process = multiprocessing.get_context(method).Process(target=child, args=(method,))
            process.start()
            process.join(30)
            assert process.exitcode == 0, method
        time.sleep(2)
        orders.labels("beside").inc(4)
