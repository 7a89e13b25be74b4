"""The endpoints as an ASGI application, to be mounted where one likes."""

from collections.abc import Sequence
from os import getpid
from time import monotonic
from typing import Any, Final

from obs_core import Runtime
from obs_core.http import Access, Endpoints, Request, Response
from obs_core.http.aio import Scrapes, Stopping, stopping

from ._translate import request_of, send_response

_UNAVAILABLE: Final = 503
_OPENING: Final = 1.0
# A runtime that refuses to start, or takes its time over it, is not asked to at each request of a stranger.
_AGAIN: Final = 60.0


class ObsApp:
    """Serves `/metrics` and `/logs`, below whatever path it is mounted at.

    `token` (one, or several for a rotation), `access` and `metrics_access` say who may read; a
    stream that follows the logs ends after `stream_life` seconds. Raises `ConfigurationError` where nobody could ever
    be let in.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        token: str | Sequence[str] | None = None,
        access: Access = "token",
        metrics_access: Access | None = None,
        stream_life: float = 300.0,
    ) -> None:
        self._runtime = runtime
        self._endpoints = Endpoints(
            runtime, token=token, access=access, metrics_access=metrics_access, stream_life=stream_life
        )
        self._scrapes = Scrapes(runtime)
        self._announced = 0
        self._announced_at = 0.0
        self._begin_after = 0.0

    # Frameworks name the types of ASGI each in its own way: whatever they take an application to be, this is one.
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self._start()
        self.announce()
        request = request_of(scope)
        # Some frameworks cut the mount off the path, others do not: the last part tells in both.
        endpoint = scope["path"].rstrip("/").rpartition("/")[2]
        with stopping(self._runtime) as pause:
            if endpoint == "metrics":
                response = await self._scrapes.run(lambda: self._endpoints.metrics(request))
            elif endpoint == "logs":
                response = await self._logs(request, pause)
            else:
                response = self._endpoints.missing(request)
            await send_response(response, receive, send, pause)

    def _start(self) -> None:
        """For want of a lifespan; without a runtime that runs the endpoints answer 503."""
        if monotonic() < self._begin_after:
            return
        try:
            self._runtime.start()
        except Exception as error:  # a failure of ours never fails the request
            self._begin_after = monotonic() + _AGAIN
            self._runtime.report("start", error)

    async def missing(self, scope: Any, receive: Any, send: Any) -> None:
        """The answer for any other path of ours: one and the same 401 for who may not read `/logs`, else 404."""
        if scope["type"] == "http":
            response = self._endpoints.missing(request_of(scope))
            with stopping(self._runtime) as pause:
                await send_response(response, receive, send, pause)

    async def _logs(self, request: Request, pause: Stopping) -> Response:
        """The storage opens in the background: just after the start it is waited for."""
        response = await pause.answered(self._endpoints.logs(request, pause))
        while response.status == _UNAVAILABLE and monotonic() < self._announced_at + _OPENING:
            if await pause(0.02):
                break
            response = await pause.answered(self._endpoints.logs(request, pause))
        return response

    def announce(self) -> None:
        """Say once who may read, on stderr; the token is made where there is none."""
        if self._announced == getpid():
            return
        self._announced, self._announced_at = getpid(), monotonic()
        try:
            self._runtime.announce(self._endpoints.prepare())
        except Exception as error:  # the host starts in any case, and nobody is let in
            self._runtime.report("access", error)
