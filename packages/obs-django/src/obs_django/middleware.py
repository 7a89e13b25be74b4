"""Request metrics and context, for `MIDDLEWARE`: put it first."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import got_request_exception
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware
from django.utils.log import log_response

from obs_core.http import enter, leave

from ._exchange import Exchange, Watch, note_exception
from ._service import current_service

Respond = Callable[[HttpRequest], HttpResponseBase]
RespondLater = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@sync_and_async_middleware
def ObsMiddleware(get_response: Any) -> Respond | RespondLater:  # noqa: N802  # Django calls it like a class
    """Starts the runtime at the first request, counts and times requests, and binds and answers their id.

    It is synchronous or asynchronous as what it wraps is. Raises `ImproperlyConfigured` for a bad `OBS`, and where it
    stands in `MIDDLEWARE` twice: each request would be counted twice.
    """
    if list(settings.MIDDLEWARE).count(f"{__name__}.ObsMiddleware") > 1:
        raise ImproperlyConfigured("ObsMiddleware stands in MIDDLEWARE twice: leave one of them out")
    asynchronous = iscoroutinefunction(get_response)
    watch = Watch(current_service(), asynchronous=asynchronous)
    got_request_exception.connect(note_exception, dispatch_uid="obs_django")
    return _asynchronous(get_response, watch) if asynchronous else _synchronous(get_response, watch)


def _synchronous(get_response: Respond, watch: Watch) -> Respond:
    def respond(request: HttpRequest) -> HttpResponseBase:
        exchange = Exchange(watch, request)
        token = enter(exchange.attributes)
        try:
            response = get_response(request)
            if response.status_code >= 400:
                _log(request, response)
        except BaseException as error:
            exchange.failed(request, error)
            raise
        finally:
            leave(token)
        return exchange.answered(request, response)

    return respond


def _asynchronous(get_response: RespondLater, watch: Watch) -> RespondLater:
    async def respond(request: HttpRequest) -> HttpResponseBase:
        exchange = Exchange(watch, request)
        token = enter(exchange.attributes)
        try:
            response = await get_response(request)
            if response.status_code >= 400:
                await sync_to_async(_log, thread_sensitive=False)(request, response)
        except BaseException as error:
            exchange.failed(request, error)
            raise
        finally:
            leave(token)
        return exchange.answered(request, response)

    return respond


def _log(request: HttpRequest, response: HttpResponseBase) -> None:
    # Django does the same as soon as we return, where the context is gone; it does not do it twice.
    seen: Any = response
    log_response("%s: %s", seen.reason_phrase, request.path, response=seen, request=request)
