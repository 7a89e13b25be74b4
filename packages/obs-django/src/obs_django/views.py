"""The endpoints as views, under WSGI and ASGI. Who may read is checked by us, with the `OBS` setting."""

from collections.abc import Callable, Coroutine
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import connections, transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from ._exchange import exchange_of
from ._service import Service, current_service
from ._tail import LogStream, Pause
from ._translate import Asked, answered, answered_in_pages, headers_of

View = Callable[..., Coroutine[Any, Any, HttpResponseBase]]


def _endpoint(view: View) -> View:
    """Keep the project's defaults off: they would answer before us, or refuse an asynchronous view."""
    for alias in connections:
        transaction.non_atomic_requests(using=alias)(view)
    marked: Any = view
    marked.csrf_exempt = True
    marked.login_required = False  # of LoginRequiredMiddleware
    return view


def _service_for(request: HttpRequest) -> Service:
    exchange = exchange_of(request)
    if exchange is not None:
        exchange.leave_out()
    service = current_service()
    service.start()
    return service


@_endpoint
async def metrics(request: HttpRequest, **_: Any) -> HttpResponseBase:
    """The metrics of the whole service, as Prometheus reads them."""
    service = _service_for(request)
    asked = await service.asked_for_metrics(request)
    if isinstance(request, ASGIRequest):
        return answered(await service.metrics(asked))
    return answered(service.endpoints.metrics(asked))


@_endpoint
async def logs(request: HttpRequest, **_: Any) -> HttpResponseBase:
    """The log entries that the query string asks for, as NDJSON; under ASGI also as a stream that follows."""
    service = _service_for(request)
    asked = await service.asked_for_logs(request)
    if isinstance(request, ASGIRequest):
        return await _streamed(service, asked)
    # Under WSGI this runs in a loop of Django's that ends with the view; a thread-sensitive call is back in the
    # server's own thread, which will send the stream.
    return await sync_to_async(answered_in_pages)(lambda: service.logs(asked))


@_endpoint
async def missing(request: HttpRequest, **_: Any) -> HttpResponseBase:
    """Any other path below the prefix: who may not read learns nothing there either."""
    service = _service_for(request)
    return answered(service.endpoints.missing(await service.asked_for_logs(request)))


async def _streamed(service: Service, asked: Asked) -> HttpResponseBase:
    pause = Pause(service.runtime)
    try:
        response = await service.logs(asked, pause)
    except BaseException:
        pause.forget()
        raise
    if isinstance(response.body, bytes):
        pause.forget()
        return answered(response)
    return LogStream(response.body, pause, status=response.status, headers=headers_of(response))
