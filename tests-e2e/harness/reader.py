"""One who follows the logs of a service."""

import json
import threading
import time
from typing import Any

import httpx

from .client import CLIENT
from .service import Service


class Reader:
    """Reads a stream in a thread: its lines, when each came, and how it ended."""

    def __init__(self, service: Service, **parameters: str) -> None:
        self.lines: list[dict[str, Any]] = []
        self.came: list[float] = []
        self.ended = ""
        self._service = service
        self._parameters = {"follow": "true", "logger": "counted", **parameters}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def join(self, deadline: float = 20) -> None:
        self._thread.join(deadline)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        url = self._service.server.url + "/logs"
        timeout = httpx.Timeout(20, read=60)
        try:
            with CLIENT.stream(
                "GET", url, params=self._parameters, headers=self._service.headers, timeout=timeout
            ) as stream:
                assert stream.status_code == 200
                for line in stream.iter_lines():
                    if line.strip():
                        self.came.append(time.time())
                        self.lines.append(json.loads(line))
            self.ended = "cleanly"
        except httpx.HTTPError as error:
            self.ended = repr(error)

    def numbers(self) -> list[int]:
        return [line["attributes"]["number"] for line in self.lines]
