"""The endpoints as an ASGI application, to be mounted where one likes."""

import sys
from collections.abc import Sequence
from os import getpid
from typing import Any

from asgiref.typing import HTTPScope

from obs_core import Runtime
from obs_core.http import Access, Endpoints, Response

from ._translate import request_of, send_response


class ObsApp:
    """Serves `/metrics` and `/logs`, below whatever path it is mounted at.

    `token` (one, or several for a rotation), `access` and `metrics_access` say who may read. Raises
    `ConfigurationError` where nobody could ever be let in.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        token: str | Sequence[str] | None = None,
        access: Access = "token",
        metrics_access: Access | None = None,
    ) -> None:
        self._runtime = runtime
        self._endpoints = Endpoints(runtime, token=token, access=access, metrics_access=metrics_access)
        self._announced = 0

    # Frameworks name the types of ASGI each in its own way: whatever they take an application to be, this is one.
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self._runtime.start()
        self.announce()
        response = await self.respond(scope)
        await send_response(response, send, head=scope["method"] == "HEAD")

    def announce(self) -> None:
        """Say once in each process who may read, on stderr; the token is made where there is none."""
        if self._announced == getpid():
            return
        self._announced = getpid()
        try:
            line = self._endpoints.prepare()
        except Exception as error:  # the host starts in any case, and nobody is let in
            self._runtime.report("access", error)
            return
        if sys.stderr is not None:  # pythonw has none
            sys.stderr.write(f"{line}\n")

    async def respond(self, scope: HTTPScope) -> Response:
        """The answer to a request; 404 for other paths."""
        request = request_of(scope)
        # Some frameworks cut the mount off the path, others do not: the last part tells in both.
        endpoint = scope["path"].rstrip("/").rpartition("/")[2]
        if endpoint == "metrics":
            return self._endpoints.metrics(request)
        return await self._endpoints.logs(request) if endpoint == "logs" else self._endpoints.missing(request)
