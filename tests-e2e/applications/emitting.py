"""The application that E2E_APP names, with a thread that logs without pause.

The number that each process logged last is in the file E2E_LAST.PID, whatever ends the process.
"""

import importlib
import logging
import os
import threading
import time

module, _, attribute = os.environ["E2E_APP"].partition(":")
application = getattr(importlib.import_module(module), attribute)


def emit() -> None:
    log = logging.getLogger("emitter")
    last = os.open(f"{os.environ['E2E_LAST']}.{os.getpid()}", os.O_CREAT | os.O_WRONLY)
    number = 0
    while True:
        number += 1
        log.warning("%d", number, extra={"pid": os.getpid()})
        os.pwrite(last, b"%020d" % number, 0)
        time.sleep(0.002)


def start() -> None:
    threading.Thread(target=emit, daemon=True).start()


start()
# A worker of a server that has loaded the application before it forks.
os.register_at_fork(after_in_child=start)
