"""A request and its response, measured from the one to the end of the other."""

import asyncio
import sys
from time import perf_counter
from typing import Any

from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from obs_core.http import REQUEST_ID_HEADER, RequestMetrics, request_context

from ._routes import template
from ._service import Service
from ._streams import CLIENT_GONE, type_name, watch


class Watch:
    """What all exchanges of a middleware share."""

    def __init__(self, service: Service) -> None:
        self.start = service.start
        self.report = service.runtime.report
        self.metrics = RequestMetrics(service.runtime.registry)
        self.exclude = service.exclude


class Exchange:
    """Begun when it is made; `failed` or `answered` is called once. It keeps no request: that keeps it."""

    __slots__ = ("_begun", "_method", "_open", "_scheme", "_watch", "context", "error_type")

    def __init__(self, watch: Watch, request: Any) -> None:
        watch.start()
        self._watch = watch
        self._method = request.method
        self._scheme = request.scheme
        self.error_type = ""
        header = request.META.get
        self.context = request_context(
            {
                REQUEST_ID_HEADER: header("HTTP_X_REQUEST_ID", ""),
                "traceparent": header("HTTP_TRACEPARENT", ""),
            }
        )
        request.obs_exchange = self
        self._open = request.path_info not in watch.exclude
        if self._open:
            watch.metrics.started(self._method, self._scheme)
        self._begun = perf_counter()

    def leave_out(self) -> None:
        """Do not measure it after all."""
        if self._open:
            self._open = False
            self._watch.metrics.abandoned(self._method, self._scheme)

    def failed(self, request: HttpRequest, error: BaseException) -> None:
        """No response: the exception goes on to the server, or the client left and the task was cancelled."""
        if isinstance(error, asyncio.CancelledError):
            self._end(self._route(request), CLIENT_GONE, "")
        else:
            self._end(self._route(request), 500, type_name(error))

    def answered(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The same response, with its id; a stream is measured until it is closed."""
        response.headers[REQUEST_ID_HEADER] = self.context.request_id
        if isinstance(response, StreamingHttpResponse):
            self._measure_until_closed(self._route(request), response)
        elif self._open:
            status = response.status_code
            self._end(self._route(request), status, self.error_type if status >= 500 else "")
        return response

    def _measure_until_closed(self, route: str, response: StreamingHttpResponse) -> None:
        # A file may be sent by the server itself, past its iterator.
        watched = None if isinstance(response, FileResponse) else watch(response, self.context)

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
        if not self._open:
            return
        self._open = False
        seconds = perf_counter() - self._begun
        try:
            self._watch.metrics.finished(self._method, route, status, self._scheme, seconds, error_type)
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
