"""A request and its response, measured from the one to the end of the other."""

import asyncio
import sys
from time import perf_counter
from typing import Any, cast

from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from obs_core.http import REQUEST_ID_HEADER, Kind, RequestMetrics, request_attributes

from ._routes import template
from ._service import Service
from ._streams import CLIENT_GONE, type_name, watch


class Watch:
    """What all exchanges of a middleware share."""

    def __init__(self, service: Service) -> None:
        self.idle = True
        self.report = service.runtime.report
        self.metrics = RequestMetrics(service.runtime.registry)
        self.exclude = service.exclude
        self._service = service

    def start(self) -> None:
        """At the first request of the process."""
        self.idle = False
        self._service.start()


class Exchange:
    """Begun when it is made; `failed` or `answered` is called once. It keeps no request: that keeps it.

    This runs for every request: each line of it is paid for.
    """

    __slots__ = ("_begun", "_kind", "_watch", "attributes", "error_type")

    def __init__(self, watch: Watch, request: Any) -> None:
        if watch.idle:
            watch.start()
        self._watch = watch
        self._kind: Kind | None = None
        self.error_type = ""
        header = request.META.get
        request_id, traceparent = header("HTTP_X_REQUEST_ID"), header("HTTP_TRACEPARENT")
        if request_id or traceparent:
            self.attributes = request_attributes(request_id or "", traceparent or "")
        else:
            self.attributes = request_attributes()
        request.obs_exchange = self
        if request.path_info not in watch.exclude:
            self._kind = kind = watch.metrics.kind(request.method, request.scheme)
            kind.active.inc()
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
        else:
            status = response.status_code
            self._end(self._route(request), status, self.error_type if status >= 500 else "")
        return response

    def _measure_until_closed(self, route: str, response: StreamingHttpResponse) -> None:
        # A file may be sent by the server itself, past its iterator.
        watched = None if isinstance(response, FileResponse) else watch(response, self.attributes)

        def close() -> None:
            response.__dict__.pop("close", None)
            try:
                response.close()
            finally:
                status = response.status_code if watched is None else watched.status or response.status_code
                self._end(route, status, "" if watched is None else watched.error_type)

        response.close = close  # type: ignore[method-assign]

    def _route(self, request: HttpRequest) -> str:
        try:
            match = request.resolver_match
            return template(str(match.route)) if match else ""
        except Exception as error:  # a failure of ours never fails the request
            self._watch.report("route", error)
            return ""

    def _end(self, route: str, status: int, error_type: str) -> None:
        kind = self._kind
        if kind is None:
            return
        self._kind = None
        try:
            kind.finished(route, status, perf_counter() - self._begun, error_type)
        except Exception as error:
            self._watch.report("count a request", error)


def exchange_of(request: object) -> Exchange | None:
    """The exchange of a request that came through the middleware."""
    return getattr(request, "obs_exchange", None)


def note_exception(request: object = None, **_: Any) -> None:
    """Keep the name of what Django turns into a response of 500: we see that response alone."""
    exchange, error = exchange_of(request), sys.exc_info()[1]
    if exchange is not None and error is not None:
        exchange.error_type = type_name(error)
