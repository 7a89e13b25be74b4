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
    """Begun when it is made; `failed` or `answered` is called once."""

    __slots__ = ("_begun", "_ended", "_method", "_request", "_scheme", "_watch", "context")

    def __init__(self, watch: Watch, request: HttpRequest) -> None:
        watch.start()
        self._watch = watch
        self._request = request
        self._ended = False
        self._method = request.method or ""
        self._scheme = request.scheme or ""
        header = request.META.get
        self.context = request_context(
            {
                REQUEST_ID_HEADER: header("HTTP_X_REQUEST_ID", ""),
                "traceparent": header("HTTP_TRACEPARENT", ""),
            }
        )
        watch.metrics.started(self._method, self._scheme)
        self._begun = perf_counter()

    def failed(self, error: BaseException) -> None:
        """No response: the exception goes on to the server, or the client left and the task was cancelled."""
        if isinstance(error, asyncio.CancelledError):
            self._end(CLIENT_GONE, "")
        else:
            self._end(500, type_name(error))

    def answered(self, response: HttpResponseBase) -> HttpResponseBase:
        """The same response, with its id; a stream is measured until it is closed."""
        response.headers[REQUEST_ID_HEADER] = self.context.request_id
        if isinstance(response, StreamingHttpResponse):
            self._measure_until_closed(response)
        else:
            status = response.status_code
            self._end(status, getattr(self._request, "_obs_error", "") if status >= 500 else "")
        return response

    def _measure_until_closed(self, response: StreamingHttpResponse) -> None:
        # A file may be sent by the server itself, past its iterator.
        watched = None if isinstance(response, FileResponse) else watch(response, self.context)
        close = response.close

        def closing() -> None:
            try:
                close()
            finally:
                status = response.status_code if watched is None else watched.status or response.status_code
                self._end(status, "" if watched is None else watched.error_type)

        response.close = closing  # type: ignore[method-assign]

    def _end(self, status: int, error_type: str) -> None:
        if self._ended:
            return
        self._ended = True
        seconds = perf_counter() - self._begun
        request, shared = self._request, self._watch
        try:
            match = request.resolver_match
            if request.path_info in shared.exclude or (match and hasattr(match.func, "obs_endpoint")):
                shared.metrics.abandoned(self._method, self._scheme)
                return
            route = template(str(match.route)) if match else ""
            shared.metrics.finished(self._method, route, status, self._scheme, seconds, error_type)
        except Exception as error:  # a failure of ours never fails the request
            shared.report("count a request", error)


def note_exception(request: Any = None, **_: Any) -> None:
    """Keep the name of what Django turns into a response of 500: we see that response alone."""
    error = sys.exc_info()[1]
    if request is not None and error is not None:
        request._obs_error = type_name(error)
