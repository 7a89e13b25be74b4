"""Request metrics and context, for `MIDDLEWARE`: put it first."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.signals import got_request_exception
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.log import log_response

from obs_core.http import enter, leave

from ._exchange import Exchange, Watch, note_exception
from ._service import current_service

GetResponse = Callable[[HttpRequest], Any]


class ObsMiddleware:
    """Starts the runtime at the first request, counts and times requests, and binds and answers their id.

    It is synchronous or asynchronous as what it wraps is. Raises `ImproperlyConfigured` for a bad `OBS`.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response
        self._async = iscoroutinefunction(get_response)
        self._watch = Watch(current_service(), asynchronous=self._async)
        if self._async:
            markcoroutinefunction(self)
        got_request_exception.connect(note_exception, dispatch_uid="obs_django")

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._async:
            return self._serve(request)
        exchange = Exchange(self._watch, request)
        token = enter(exchange.attributes)
        try:
            response: HttpResponseBase = self._get_response(request)
            if response.status_code >= 400:
                _log(request, response)
        except BaseException as error:
            exchange.failed(request, error)
            raise
        finally:
            leave(token)
        return exchange.answered(request, response)

    async def _serve(self, request: HttpRequest) -> HttpResponseBase:
        exchange = Exchange(self._watch, request)
        token = enter(exchange.attributes)
        try:
            response: HttpResponseBase = await self._get_response(request)
            if response.status_code >= 400:
                await sync_to_async(_log, thread_sensitive=False)(request, response)
        except BaseException as error:
            exchange.failed(request, error)
            raise
        finally:
            leave(token)
        return exchange.answered(request, response)


def _log(request: HttpRequest, response: HttpResponseBase) -> None:
    # Django does the same as soon as we return, where the context is gone; it does not do it twice.
    seen: Any = response
    log_response("%s: %s", seen.reason_phrase, request.path, response=seen, request=request)
