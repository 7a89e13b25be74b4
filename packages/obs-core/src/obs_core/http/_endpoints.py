"""`/metrics` and `/logs`, the same from every adapter."""

import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Final

from msgspec.structs import replace

from .._errors import ConfigurationError, CursorExpiredError, QueryError, StorageError
from .._ports import Runtime
from .._queries import LogQuery
from .._records import StoredLog
from ..encoders import CONTENT_TYPE_OPENMETRICS, CONTENT_TYPE_TEXT, encode_ndjson, exposition
from ._access import Access, checked_access, has_token, is_local, token_bytes
from ._messages import Request, Response, complete, headless, problem, streamed
from ._negotiation import accepts_gzip, gzip, prefers_openmetrics
from ._parameters import parse_parameters
from ._token import make_or_read_token, token_path

_NDJSON: Final = "application/x-ndjson"
# One header, Basic first: browsers look at the first challenge, and Django keeps one of a name.
_CHALLENGE: Final = (("www-authenticate", 'Basic realm="obs", Bearer realm="obs"'),)


class Endpoints:
    """The endpoints of one application.

    `token` (one, or several while they are changed) or the environment's `OBS_TOKEN` lets in; with neither,
    one is made beside the storage. `access="loopback"` asks no token of this machine, `"open"` of nobody,
    a callable decides itself; `metrics_access` is the same for `/metrics` alone. Raises `ConfigurationError`
    where a token is needed and there is none, nor a folder to keep one in.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        token: str | Sequence[str] | None = None,
        access: Access = "token",
        metrics_access: Access | None = None,
    ) -> None:
        self._runtime = runtime
        self._access = checked_access("access", access)
        self._metrics_access = checked_access(
            "metrics_access", access if metrics_access is None else metrics_access
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
        return f"obs: /logs {self._who(self._access)}, /metrics {self._who(self._metrics_access)}"

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

    async def logs(self, request: Request) -> Response:
        """The entries that the query string asks for, as NDJSON; what is wrong is said before the first byte."""
        refused = self._refusal(request, self._access)
        if refused is not None:
            return refused
        try:
            query = parse_parameters(request.query_string, time.time())
            body = self._lines(await self._from_newest(query))
            await anext(body)
        except QueryError as error:
            status = 410 if isinstance(error, CursorExpiredError) else 400
            return problem(status, str(error), error.parameter)
        except Exception as error:  # whatever a storage raises, the host goes on
            if not isinstance(error, StorageError):
                self._runtime.report("logs", error)
            return problem(503, "the logs cannot be read now: try again")
        if request.method == "HEAD":
            await body.aclose()
            return headless(streamed(_NDJSON, body))
        return streamed(_NDJSON, body)

    def missing(self, request: Request) -> Response:
        """The answer for another path of ours: who may not read learns nothing."""
        return self._refusal(request, self._access) or problem(404)

    async def _from_newest(self, query: LogQuery) -> LogQuery:
        """The query that streams the newest `limit`, oldest first, where neither since nor after is asked.

        The cursor before them is looked for from the newest end, so that they are never all in memory.
        """
        if query.since is not None or query.after or query.order == "desc":
            return query
        limit = query.limit or 1
        count, cursor = 0, ""
        async for stored in self._runtime.storage.logs.read(replace(query, order="desc", limit=limit + 1)):
            count, cursor = count + 1, stored.cursor
        return replace(query, after=cursor) if count > limit else query

    async def _lines(self, query: LogQuery) -> AsyncGenerator[bytes, None]:
        """The lines, after an empty chunk when the first is known: what was begun is closed for certain."""
        entries = self._runtime.storage.logs.read(query)
        begun = False
        try:
            first = await anext(entries, None)
            begun = True
            yield b""
            async for lines in encode_ndjson(_joined(first, entries)):
                yield lines
        except Exception as error:
            if begun:
                self._runtime.report("logs", error)
            raise  # so that the server breaks the stream off: an end without a word would look complete
        finally:
            await _close(entries)

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
        where = f"in {self._made_at}" if self._made_at else "that was set"
        token = f"needs the token {where}"
        return token if access == "token" else f"is open to this machine, else {token}"


def _decided(answer: object) -> bool:
    # A coroutine, of a check that was meant to be awaited, is true: it must let nobody in.
    if not isinstance(answer, bool):
        raise TypeError(f"a check must answer True or False, not {answer!r}")
    return answer


async def _joined(first: StoredLog | None, rest: AsyncIterator[StoredLog]) -> AsyncGenerator[StoredLog, None]:
    if first is not None:
        yield first
        async for stored in rest:
            yield stored


async def _close(entries: AsyncIterator[StoredLog]) -> None:
    # A storage reads by an async generator as a rule; another iterator has nothing to close.
    if isinstance(entries, AsyncGenerator):
        await entries.aclose()
