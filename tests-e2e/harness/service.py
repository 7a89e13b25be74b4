"""A service with obs in it, seen from outside: a client that has the token."""

import json
import time
from pathlib import Path
from typing import Any

import httpx

from .client import CLIENT
from .page import Page, metrics_of
from .server import Server

STARTING = 10.0


class Service:
    """Reads what a server exposes, with `token`, or with the one that the service makes in `token_file`."""

    def __init__(self, server: Server, token_file: Path, prefix: str = "", token: str = "") -> None:
        self.server = server
        self.token_file = token_file
        self._token = token
        self._prefix = prefix

    @property
    def headers(self) -> dict[str, str]:
        if self._token:
            return {"authorization": f"Bearer {self._token}"}
        if not self.token_file.exists():
            assert (
                self.get(self._prefix + "/logs").status_code == 401
            )  # it is made when it is first asked for
        return {"authorization": f"Bearer {self.token_file.read_text().strip()}"}

    def get(self, path: str, *, method: str = "GET", **headers: str) -> httpx.Response:
        """A request of a user: without the token."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return CLIENT.request(method, self.server.url + path, headers=named)

    def read(
        self, path: str, *, method: str = "GET", patience: float = STARTING, **parameters: Any
    ) -> httpx.Response:
        """A request of a reader: with the token. A worker that has just started may say for a moment that it cannot."""
        url, end = self.server.url + self._prefix + path, time.monotonic() + patience
        while True:
            response = CLIENT.request(method, url, params=parameters, headers=self.headers)
            if response.status_code != 503 or time.monotonic() > end:
                return response
            time.sleep(0.05)

    def exposition(self) -> str:
        """The text of `/metrics`."""
        response = self.read("/metrics")
        response.raise_for_status()
        return response.text

    def metrics(self) -> Page:
        return metrics_of(self.exposition())

    def logs(self, **parameters: Any) -> list[dict[str, Any]]:
        """The lines of `/logs`; the name of a parameter with a dot is given in a mapping."""
        response = self.read("/logs", **parameters)
        response.raise_for_status()
        return [json.loads(line) for line in response.text.splitlines()]
