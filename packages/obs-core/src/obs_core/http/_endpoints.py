"""`/metrics` and `/logs`, the same from every adapter."""

import os
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from .._errors import ConfigurationError, CursorExpiredError, QueryError, StorageError
from .._ports import Runtime
from ..encoders import CONTENT_TYPE_OPENMETRICS, CONTENT_TYPE_TEXT, exposition
from ._access import Access, checked_access, has_token, is_local, token_bytes
from ._checks import checked_runtime
from ._follow import Newest, Pause, follow
from ._messages import Request, Response, complete, headless, problem, streamed
from ._negotiation import accepts_gzip, gzip, prefers_openmetrics
from ._pages import found
from ._parameters import Parameters, parse_parameters
from ._slots import Slots
from ._token import make_or_read_token, token_path

MAX_STREAMS: Final = 16
MAX_SEARCHES: Final = 2
MAX_READINGS: Final = 16
TIME_LIMIT: Final = 5.0
_NDJSON: Final = "application/x-ndjson"
_LATER: Final = (("retry-after", "5"),)
_UNBUFFERED: Final = (("x-accel-buffering", "no"),)  # nginx would keep the lines until it has a few kB
# One header, Basic first: browsers look at the first challenge, and Django keeps one of a name.
_CHALLENGE: Final = (("www-authenticate", 'Basic realm="obs", Bearer realm="obs"'),)


class Endpoints:
    """The endpoints of one application.

    `token` (one, or several while they are changed) or the environment's `OBS_TOKEN` lets in; with neither,
    one is made beside the storage. `access="loopback"` asks no token of this machine, `"open"` of nobody,
    a callable decides itself; `metrics_access` is the same for `/metrics` alone. A stream that follows ends
    after `stream_life` seconds, and the reader goes on from its cursor. Raises `ConfigurationError`
    where a token is needed and there is none, nor a folder to keep one in.
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
        given_life: object = stream_life
        if not isinstance(given_life, int | float) or not given_life > 0:
            raise ConfigurationError(f"stream_life is a number of seconds above 0, not {stream_life!r}")
        self._runtime = checked_runtime(runtime)
        self._stream_life = stream_life
        self._streams = Slots(MAX_STREAMS)
        self._searches = Slots(MAX_SEARCHES)
        self._readings = Slots(MAX_READINGS)
        self._newest = Newest()
        self._access = checked_access("access", access)
        self._metrics_access = checked_access(
            "metrics_access", access if metrics_access is None else metrics_access
        )
        if token is not None and not isinstance(token, str | Sequence):
            raise ConfigurationError(f"token= is text, or a list of texts while it is changed, not {token!r}")
        if token and (self._access, self._metrics_access) == ("open", "open"):
            raise ConfigurationError(
                'access="open" lets everybody in, and token= means nothing there: leave one out'
            )
        given = token if token is not None else os.environ.get("OBS_TOKEN", "").strip() or ()
        self._tokens = token_bytes((given,) if isinstance(given, str) else given)
        if token is not None and not self._tokens:
            raise ConfigurationError("token= has no token in it: give one, or leave it out")
        self._made_at = None
        needed = (self._access, self._metrics_access)
        if not self._tokens and ("token" in needed or "loopback" in needed):
            storage = runtime.storage.path
            self._made_at = None if storage is None else token_path(storage)
            if storage is None and "token" in needed:
                raise ConfigurationError(
                    'this storage has no folder to keep a token in: set token= or OBS_TOKEN, or access="loopback"'
                )

    def prepare(self) -> str:
        """Make or read the token where that is needed; the line to say at start, which never holds the token.

        Raises `ConfigurationError` where the token cannot be had; nobody who needs one is let in then.
        """
        if self._made_at is not None and not self._tokens:
            self._tokens = token_bytes((make_or_read_token(self._made_at),))
        return f"/logs {self._who(self._access)}, /metrics {self._who(self._metrics_access)}"

    def metrics(self, request: Request) -> Response:
        """The metrics of the whole service: Prometheus text 0.0.4, or OpenMetrics 1.0 where that is preferred."""
        refused = self._refusal(request, self._metrics_access)
        if refused is not None:
            return refused
        try:
            openmetrics = prefers_openmetrics(request.headers.get("accept", ""))
            body = exposition(self._runtime.collect(), openmetrics=openmetrics)
        except Exception as error:  # whatever it is, the scrape must fail honestly and the host go on
            self._runtime.report("metrics", error)
            return problem(503, "the metrics cannot be read now: try again")
        extra: tuple[tuple[str, str], ...] = (("vary", "accept, accept-encoding"),)
        if accepts_gzip(request.headers.get("accept-encoding", "")):
            body, extra = gzip(body), (*extra, ("content-encoding", "gzip"))
        kind = CONTENT_TYPE_OPENMETRICS if openmetrics else CONTENT_TYPE_TEXT
        response = complete(200, kind, body, extra)
        return headless(response) if request.method == "HEAD" else response

    async def logs(self, request: Request, pause: Pause | None = None) -> Response:
        """The entries that the query string asks for, as NDJSON; what is wrong is said before the first byte.

        `pause` waits so many seconds, and tells whether the process is stopping or the reader gone. Without it
        there is no following, since the stream would keep a worker from everything else.
        """
        refused = self._refusal(request, self._access)
        if refused is not None:
            return refused
        try:
            asked = parse_parameters(request.query_string, time.time())
            if asked.follow and pause is None:
                raise QueryError(
                    "follow", "no stream is offered here: poll with after=CURSOR of the last line"
                )
            body = self._body(asked, pause)
            if body is None:
                return problem(503, "as many readers as may be are served already: try again", extra=_LATER)
            await anext(body)
        except QueryError as error:
            status = 410 if isinstance(error, CursorExpiredError) else 400
            return problem(status, str(error), error.parameter)
        except Exception as error:  # whatever a storage raises, the host goes on
            if not isinstance(error, StorageError):
                self._runtime.report("logs", error)
            return problem(503, "the logs cannot be read now: try again")
        response = streamed(_NDJSON, body, _UNBUFFERED if asked.follow else (), endless=asked.follow)
        if request.method == "HEAD":
            await body.aclose()
            return headless(response)
        return response

    def missing(self, request: Request) -> Response:
        """The answer for another path of ours: who may not read learns nothing."""
        return self._refusal(request, self._access) or problem(404)

    def _body(self, asked: Parameters, pause: Pause | None) -> AsyncGenerator[bytes, None] | None:
        """The stream, whose first chunk is empty; None where there is no room for one more."""
        logs, query = self._runtime.storage.logs, asked.query
        if asked.follow and pause is not None:
            if not self._streams.take():
                return None
            lines = follow(logs, query, self._newest, self._searches, pause, self._stream_life)
            return self._guarded(lines, self._streams)
        slots = self._searches if query.text else self._readings
        return self._guarded(found(logs, query, TIME_LIMIT), slots) if slots.take() else None

    async def _guarded(self, body: AsyncGenerator[bytes, None], slots: Slots) -> AsyncGenerator[bytes, None]:
        """The same, which gives its place back at the end; what fails after the first chunk is reported."""
        begun = False
        try:
            async for chunk in body:
                yield chunk
                begun = True
        except Exception as error:
            if begun:
                self._runtime.report("logs", error)
            raise  # so that the server breaks the stream off: an end without a word would look complete
        finally:
            try:
                await body.aclose()
            finally:
                slots.free()

    def _refusal(self, request: Request, access: Access) -> Response | None:
        if not self._allows(request, access):
            return problem(401, extra=_CHALLENGE)
        if request.method not in ("GET", "HEAD"):
            return problem(405, extra=(("allow", "GET, HEAD"),))
        return None

    def _allows(self, request: Request, access: Access) -> bool:
        if access == "open":
            return True
        try:
            if callable(access):
                return _decided(access(request))
            self.prepare()
        except Exception as error:  # a check that fails lets nobody in
            self._runtime.report("access", error)
        return (access == "loopback" and is_local(request)) or (
            not callable(access) and has_token(request, self._tokens)
        )

    def _who(self, access: Access) -> str:
        if access == "open":
            return "is open to everyone"
        if callable(access):
            return "is open to whom the application's own check lets in"
        where = f"in {self._made_at.absolute()}" if self._made_at else "that was set"
        token = f"needs the token {where}"
        return token if access == "token" else f"is open to this machine, else {token}"


def _decided(answer: object) -> bool:
    # A coroutine, of a check that was meant to be awaited, is true: it must let nobody in.
    if not isinstance(answer, bool):
        raise TypeError(f"a check must answer True or False, not {answer!r}")
    return answer
