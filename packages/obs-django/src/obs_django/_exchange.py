"""A request and its response, measured from the one to the end of the other."""

import asyncio
import sys
from time import perf_counter
from typing import Any, cast

from django.conf import settings
from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from obs_core.http import REQUEST_ID_HEADER, Kind, RequestMetrics, request_attributes
from obs_core.process import LoopLag

from ._routes import template
from ._service import Service
from ._sizes import Sizes, sent_of
from ._streams import CLIENT_GONE, type_name, watch


class Watch:
    """What all exchanges of a middleware share."""

    def __init__(self, service: Service, *, asynchronous: bool) -> None:
        self.idle = True
        self.report = service.runtime.report
        self.metrics = RequestMetrics(service.runtime.registry, sizes=service.sizes)
        self.kinds = self.metrics.kinds
        self.exclude = service.exclude
        self.sizes = service.sizes
        self.proxied = bool(settings.SECURE_PROXY_SSL_HEADER)
        self._service = service
        service.watched = True
        self._lag = LoopLag(service.runtime.registry) if asynchronous else None

    def start(self) -> None:
        """At the first request of the process."""
        self._service.start()
        self.idle = False
        if self._lag is not None:
            self._lag.watch(asyncio.get_running_loop())


class Exchange:
    """Begun when it is made; `failed` or `answered` is called once. It keeps no request: that keeps it.

    This runs for every request: each line of it is paid for.
    """

    __slots__ = ("_begun", "_kind", "_sizes", "_watch", "attributes", "error_type")

    def __init__(self, watch: Watch, request: Any) -> None:
        if watch.idle:
            watch.start()
        self._watch = watch
        self.error_type = ""
        header = request.META.get
        request_id, traceparent = header("HTTP_X_REQUEST_ID"), header("HTTP_TRACEPARENT")
        if request_id or traceparent:
            self.attributes = request_attributes(request_id or "", traceparent or "")
        else:
            self.attributes = request_attributes()
        request.obs_exchange = self
        kind: Kind | None = None
        if request.path_info not in watch.exclude:
            # Django's own property asks the settings each time; what the server says is all of it where no proxy is
            # trusted.
            scheme = None if watch.proxied else header("wsgi.url_scheme") or _scheme_of_asgi(request)
            kind = watch.kinds[request.method, scheme or request.scheme]
            kind.active.inc()
        self._kind = kind
        self._sizes = Sizes(watch.metrics, request) if watch.sizes else None
        self._begun = perf_counter()

    def leave_out(self) -> None:
        """Do not measure it after all."""
        if self._kind is not None:
            self._kind.active.dec()
            self._kind = None

    def failed(self, request: HttpRequest, error: BaseException) -> None:
        """No response: the exception goes on to the server, or the client left and the task was cancelled."""
        if isinstance(error, asyncio.CancelledError):
            self._end(self._route(request), CLIENT_GONE, "")
        else:
            self._end(self._route(request), 500, type_name(error))

    def answered(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The same response, with its id; a stream is measured until it is closed."""
        response.headers[REQUEST_ID_HEADER] = self.attributes["request_id"]
        if response.streaming:
            self._measure_until_closed(self._route(request), cast(StreamingHttpResponse, response))
        elif self._kind is not None:
            status = response.status_code
            sent = 0 if self._sizes is None else sent_of(response)
            self._end(self._route(request), status, self.error_type if status >= 500 else "", sent)
        return response

    def _measure_until_closed(self, route: str, response: StreamingHttpResponse) -> None:
        # A file may be sent by the server itself, past its iterator.
        watched = None if isinstance(response, FileResponse) else watch(response, self.attributes)

        # What an inner middleware put there is put back for the call, so that nothing refers to itself for ever.
        inner = response.__dict__.get("close")

        def close() -> None:
            if inner is None:
                response.__dict__.pop("close", None)
            else:
                response.__dict__["close"] = inner
            try:
                response.close()
            finally:
                if watched is None:
                    self._end(route, response.status_code, "", sent_of(response))
                else:
                    status = watched.status or response.status_code
                    self._end(route, status, watched.error_type, watched.sent)

        response.close = close  # type: ignore[method-assign]

    def _route(self, request: HttpRequest) -> str:
        try:
            match: Any = request.resolver_match
            return template(match.route) if match else ""
        except Exception as error:  # a failure of ours never fails the request
            self._watch.report("route", error)
            return ""

    def _end(self, route: str, status: int, error_type: str, sent: int = 0) -> None:
        kind = self._kind
        if kind is None:
            return
        seconds = perf_counter() - self._begun
        self._kind = None
        try:
            kind.finished(route, status, seconds, error_type)
            if self._sizes is not None:
                self._sizes.count(route, status, sent, error_type)
        except Exception as error:
            self._watch.report("count a request", error)


def _scheme_of_asgi(request: Any) -> str | None:
    scope = getattr(request, "scope", None)
    return scope.get("scheme") if scope else None


def exchange_of(request: object) -> Exchange | None:
    """The exchange of a request that came through the middleware."""
    return getattr(request, "obs_exchange", None)


def note_exception(request: object = None, **_: Any) -> None:
    """Keep the name of what Django turns into a response of 500: we see that response alone."""
    exchange, error = exchange_of(request), sys.exc_info()[1]
    if exchange is not None and error is not None:
        exchange.error_type = type_name(error)
