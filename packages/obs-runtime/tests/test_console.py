"""What a program sees on its console, as without a runtime. In a process of its own, since pytest has handlers."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

BEGIN = """
import logging, logging.config, sys
from obs_core import MemoryStorage
from obs_runtime import EmbeddedRuntime
log = logging.getLogger("shop.orders")
runtime = EmbeddedRuntime(MemoryStorage())
"""


def stderr_of(code: str) -> list[str]:
    """What a program prints on stderr; it must end well."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BEGIN + code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


def test_warnings_are_printed_as_without_a_runtime_and_nothing_else_is():
    code = """
log.warning("before")
with runtime:
    log.warning("a price is missing: %d", 7)
    log.info("imported")
    logging.warning("of the root logger")
    logging.getLogger().handle(logging.makeLogRecord({"levelno": 40, "levelname": "ERROR", "msg": "by hand"}))
log.warning("after")
assert not logging.getLogger().handlers
"""
    said = ["before", "a price is missing: 7", "of the root logger", "by hand", "after"]
    assert stderr_of(code) == said


def test_what_has_a_handler_of_the_programs_own_is_printed_by_that_alone():
    code = """
console = logging.StreamHandler(sys.stderr)
console.setFormatter(logging.Formatter("own: %(message)s"))
with runtime:
    log.addHandler(console)
    log.warning("one")
    log.propagate = False
    log.warning("two")
    logging.getLogger("shop").warning("three")
    logging.getLogger("silent").addHandler(logging.NullHandler())
    logging.getLogger("silent").warning("nothing")
    logging.lastResort = None
    logging.getLogger("shop").warning("nothing")
"""
    said = [line for line in stderr_of(code) if "do not propagate" not in line]
    assert said == ["own: one", "own: two", "three"]


def test_a_configuration_before_or_after_the_start_is_not_doubled():
    configured = """
options = {"version": 1, "disable_existing_loggers": False, "root": {"handlers": ["c"], "level": "INFO"},
           "handlers": {"c": {"class": "logging.StreamHandler"}}}
"""
    for code in (
        "logging.basicConfig(format='%(message)s')\nwith runtime:\n    log.warning('once')",
        configured + "with runtime:\n    logging.config.dictConfig(options)\n    log.warning('once')",
        configured
        + "with runtime:\n    logging.config.dictConfig(options)\n    runtime._work.capture()\n    log.warning('once')",
    ):
        assert stderr_of(code) == ["once"]


def test_two_runtimes_print_once():
    code = """
with runtime, EmbeddedRuntime(MemoryStorage()) as other:
    log.warning("once")
    other.stop()
    log.warning("still")
"""
    assert stderr_of(code) == ["once", "still"]


def test_a_fork_beside_a_configuration_of_logging_waits_for_it_and_not_for_ever():
    code = """
import faulthandler, os, threading, time
class Closes(logging.Handler):
    def close(self):
        closing.set()
        time.sleep(0.2)  # as one that writes what it holds
        super().close()
closing = threading.Event()
faulthandler.dump_traceback_later(20, exit=True)
with runtime:
    runtime.flush()
    log.addHandler(Closes())
    options = {"version": 1, "disable_existing_loggers": False}
    thread = threading.Thread(target=logging.config.dictConfig, args=(options,))
    thread.start()
    assert closing.wait(10)
    pid = os.fork()
    if not pid:
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    thread.join()
"""
    assert stderr_of(code) == []
