"""What the setting makes: the runtime with its endpoints, one for the process."""

import asyncio
import logging
from functools import lru_cache
from os import getpid
from threading import Lock
from time import monotonic
from typing import Any, Final, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.http import HttpRequest

from obs_core import ObsError
from obs_core.http import Access, Endpoints, Request, Response
from obs_core.http.aio import Scrapes, Stopping
from obs_core.servers import SERVERS, capture_servers

from ._settings import Check, Settings, read_settings
from ._translate import Asked, asked

WITHOUT: Final = (
    "MIDDLEWARE has no ObsMiddleware: requests are not measured, and a worker counts and logs nothing until it is"
    " asked for /metrics or /logs"
)
_UNAVAILABLE: Final = 503
_OPENING: Final = 1.0


class Service:
    """The runtime and the endpoints. Raises `ImproperlyConfigured` where nobody could ever be let in."""

    def __init__(self, settings: Settings) -> None:
        self.runtime = settings.runtime
        self.exclude = settings.exclude
        self.sizes = settings.sizes
        self._server_logs = settings.server_logs
        self._access, self._metrics_access = settings.access, settings.metrics_access
        self._lock = Lock()
        self._scrapes = Scrapes(settings.runtime)
        self._started_in = 0
        self.watched = False  # by the middleware
        self._started_at = 0.0
        try:
            self.endpoints = Endpoints(
                settings.runtime,
                token=settings.token,
                access=_as_core(settings.access),
                metrics_access=_as_core(settings.metrics_access),
                stream_life=settings.stream_life,
            )
        except ObsError as error:
            raise ImproperlyConfigured(f"OBS: {error}") from error

    def start(self) -> None:
        """Start the runtime at the first request of the process, and say who may read. Never raises.

        Requests that come meanwhile wait until it captures, so that none of their entries is lost.
        """
        if self._started_in == getpid():
            return
        # With a bound, since a child may be forked while it is held.
        held = self._lock.acquire(timeout=_OPENING)
        try:
            if self._started_in != getpid():
                self._start()
                self._started_in = getpid()
        finally:
            if held:
                self._lock.release()

    def _start(self) -> None:
        self._started_at = monotonic()
        try:
            self.runtime.start()
            if self._server_logs:
                capture_servers(self.runtime.handler, (*SERVERS, *_loggers_of_django()))
            self.runtime.announce(self.endpoints.prepare())
            if not self.watched:
                self.runtime.announce(WITHOUT)
        except Exception as error:  # a failure of ours never fails the request
            self.runtime.report("start", error)

    async def asked_for_metrics(self, request: HttpRequest) -> Asked:
        """The request for `/metrics`, with what the application's own check says of it."""
        return asked(request, allowed=await self._allows(self._metrics_access, request))

    async def metrics(self, request: Asked) -> Response:
        """The answer of `/metrics`, for an event loop: 503 where it cannot be had in time."""
        return await self._scrapes.run(lambda: self.endpoints.metrics(request))

    async def asked_for_logs(self, request: HttpRequest) -> Asked:
        """The same for `/logs`."""
        return asked(request, allowed=await self._allows(self._access, request))

    async def logs(self, request: Asked, pause: Stopping | None = None) -> Response:
        """The answer of `/logs`; with a `pause` also of one that follows.

        The storage opens in the background: just after the start it is waited for.
        """
        response = await self.endpoints.logs(request, pause)
        while response.status == _UNAVAILABLE and monotonic() < self._started_at + _OPENING:
            await asyncio.sleep(0.02)
            response = await self.endpoints.logs(request, pause)
        return response

    async def _allows(self, access: "str | Check", request: HttpRequest) -> bool:
        if isinstance(access, str):
            return False
        try:
            if iscoroutinefunction(access):
                return bool(await access(request))
            # In a thread, since it may ask the database who the user is.
            return bool(await sync_to_async(access)(request))
        except Exception as error:  # a check that fails lets nobody in
            self.runtime.report("access", error)
            return False


@lru_cache(maxsize=1)
def current_service() -> Service:
    """The service of this process. Raises `ImproperlyConfigured`."""
    return Service(read_settings())


def _forget(*, setting: str, **_: Any) -> None:
    # Tests override settings.
    if setting == "OBS":
        current_service.cache_clear()


setting_changed.connect(_forget, dispatch_uid="obs_django")


def _loggers_of_django() -> list[str]:
    """Those that a project may keep away from the root logger; the access lines of `runserver` are not among them."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith("django.")]
    return ["django", *(name for name in names if name != "django.server")]


def _as_core(access: "str | Check") -> Access:
    return cast(Access, access) if isinstance(access, str) else _was_allowed


def _was_allowed(request: Request) -> bool:
    return isinstance(request, Asked) and request.allowed
