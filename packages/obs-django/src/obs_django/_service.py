"""What the setting makes: the runtime with its endpoints, one for the process."""

import sys
from functools import lru_cache
from os import getpid
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.http import HttpRequest

from obs_core import ObsError
from obs_core.http import Access, Endpoints, Request

from ._settings import Check, Settings, read_settings
from ._translate import Asked, asked


class Service:
    """The runtime and the endpoints. Raises `ImproperlyConfigured` where nobody could ever be let in."""

    def __init__(self, settings: Settings) -> None:
        self.runtime = settings.runtime
        self.exclude = settings.exclude
        self._access, self._metrics_access = settings.access, settings.metrics_access
        self._started_in = 0
        try:
            self.endpoints = Endpoints(
                settings.runtime,
                token=settings.token,
                access=_as_core(settings.access),
                metrics_access=_as_core(settings.metrics_access),
            )
        except ObsError as error:
            raise ImproperlyConfigured(f"OBS: {error}") from error

    def start(self) -> None:
        """Start the runtime at the first request of the process, and say who may read. Never raises."""
        if self._started_in == getpid():
            return
        self._started_in = getpid()
        try:
            self.runtime.start()
            line = self.endpoints.prepare()
        except Exception as error:  # a failure of ours never fails the request
            self.runtime.report("start", error)
            return
        if sys.stderr is not None:  # pythonw has none
            sys.stderr.write(f"{line}\n")

    async def asked_for_metrics(self, request: HttpRequest) -> Asked:
        """The request for `/metrics`, with what the application's own check says of it."""
        return asked(request, allowed=await self._allows(self._metrics_access, request))

    async def asked_for_logs(self, request: HttpRequest) -> Asked:
        """The same for `/logs`."""
        return asked(request, allowed=await self._allows(self._access, request))

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


def _as_core(access: "str | Check") -> Access:
    return cast(Access, access) if isinstance(access, str) else _was_allowed


def _was_allowed(request: Request) -> bool:
    return isinstance(request, Asked) and request.allowed
