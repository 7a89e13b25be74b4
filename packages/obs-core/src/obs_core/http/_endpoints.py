"""The endpoints: `/metrics` and `/logs`."""

import gzip
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from .._errors import CursorExpiredError, ObsError, QueryError
from .._ports import Runtime
from .._queries import LogQuery
from .._records import StoredLog
from ..encoders import CONTENT_TYPE_TEXT, encode_ndjson, exposition
from ._access import Access, allowed, check_access, given_tokens, kept_token, token_path, unauthorized
from ._messages import Request, Response, answer, problem, unavailable
from ._parameters import log_query

_READING: Final = ("GET", "HEAD")


class Endpoints:
    """One for an application. Raises `ConfigurationError` where nobody could ever be let in."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        token: str | Sequence[str] | None = None,
        access: Access = "token",
        metrics_access: Access | None = None,
    ) -> None:
        self._runtime = runtime
        self._access = access
        self._metrics_access = access if metrics_access is None else metrics_access
        self._tokens = given_tokens(token)
        for one in (self._access, self._metrics_access):
            check_access(one, self._tokens, runtime.storage.path)

    def prepare(self) -> str:
        """Make or read the token where none was given; the line that says where it is. Raises `OSError`."""
        path = self._runtime.storage.path
        if self._tokens:
            return "obs: readers need the token that was given"
        if path is None or "token" not in (self._access, self._metrics_access):
            return "obs: readers need no token"
        self._tokens = (kept_token(path),)
        return f"obs: readers need the token in {token_path(path)}"

    def metrics(self, request: Request) -> Response:
        """`GET /metrics`: the text format 0.0.4, gzip where it is accepted."""
        refused = self._refused(request, self._metrics_access)
        if refused is not None:
            return refused
        try:
            text = exposition(self._runtime.collect())
        except Exception as error:  # a failure of ours is a failed scrape, never one of the host's
            self._runtime.report("collect metrics", error)
            return unavailable()
        if not _accepts_gzip(request.headers.get("accept-encoding", "")):
            return answer(200, CONTENT_TYPE_TEXT, text, ("vary", "accept-encoding"))
        packed = gzip.compress(text, compresslevel=1, mtime=0)
        return answer(
            200, CONTENT_TYPE_TEXT, packed, ("vary", "accept-encoding"), ("content-encoding", "gzip")
        )

    async def logs(self, request: Request) -> Response:
        """`GET /logs`: NDJSON, streamed. What is wrong with the query is answered before the first line."""
        refused = self._refused(request, self._access)
        if refused is not None:
            return refused
        try:
            query = log_query(request.query_string, time.time())
            records = await self._begun(await self._from_the_newest(query))
        except CursorExpiredError as error:
            return problem(410, "Gone", str(error), error.parameter)
        except QueryError as error:
            return problem(400, "Bad Request", str(error), error.parameter)
        except Exception as error:  # the storage's, or ours
            self._runtime.report("read logs", error)
            return unavailable()
        return answer(200, "application/x-ndjson", self._lines(records))

    def _refused(self, request: Request, access: Access) -> Response | None:
        if access == "token" and not self._tokens:
            try:
                self.prepare()
            except OSError as error:
                self._runtime.report("keep the token", error)
        if not allowed(request, access, self._tokens):
            return unauthorized()
        if request.method not in _READING:
            return answer(405, "application/problem+json", b"{}", ("allow", "GET, HEAD"))
        return None

    async def _from_the_newest(self, query: LogQuery) -> LogQuery:
        """Without a place to begin, the newest `limit` entries, the oldest of them first.

        They are found by reading backwards and keeping one cursor, not the entries.
        """
        if query.since is not None or query.after or query.order == "desc" or query.limit is None:
            return query
        backwards = msgspec.structs.replace(query, order="desc", limit=query.limit + 1)
        found, cursor = 0, ""
        async for stored in self._runtime.storage.logs.read(backwards):
            found, cursor = found + 1, stored.cursor
        return msgspec.structs.replace(query, after=cursor) if found > query.limit else query

    async def _begun(self, query: LogQuery) -> AsyncIterator[StoredLog]:
        """The records, the first of which is read already, so that an error can still be answered."""
        records = self._runtime.storage.logs.read(query)
        first = await anext(records, None)

        async def all_of_them() -> AsyncIterator[StoredLog]:
            if first is not None:
                yield first
                async for record in records:
                    yield record

        return all_of_them()

    async def _lines(self, records: AsyncIterator[StoredLog]) -> AsyncIterator[bytes]:
        try:
            async for chunk in encode_ndjson(records):
                yield chunk
        except ObsError as error:
            # The status is sent already: the stream ends, and the reader goes on from its cursor.
            self._runtime.report("read logs", error)


def _accepts_gzip(header: str) -> bool:
    for part in header.lower().split(","):
        coding, _, parameters = part.partition(";")
        if coding.strip() == "gzip":
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
