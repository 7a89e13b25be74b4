"""Folders, ports, and the environment of the processes that the tests start."""

import os
import random
import socket
from collections.abc import Mapping
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
EXAMPLES = TOP / "examples"
APPLICATIONS = TOP / "tests-e2e" / "applications"

_given: set[int] = set()


def free_port() -> int:
    """A loopback port that nobody has, below the range that outgoing connections are given."""
    while True:
        port = random.randrange(20_000, 32_000)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Our own environment without what would change the service, and with what the test sets."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OBS_", "DJANGO_"))}
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", **extra}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
