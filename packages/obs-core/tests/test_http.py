import base64
import gzip
import json
import os
from hmac import compare_digest

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from obs_core import (
    ConfigurationError,
    LogEntry,
    LogQuery,
    MemoryStorage,
    QueryError,
    Registry,
    StorageError,
    current_context,
)
from obs_core.http import (
    Endpoints,
    Request,
    RequestMetrics,
    Response,
    _access,
    parse_parameters,
    request_context,
)

pytestmark = pytest.mark.unit


OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def ask(query: str = "", method: str = "GET", client: str | None = "127.0.0.1", **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, query, {"host": "localhost:8000", **named}, client)


async def body(response: Response) -> bytes:
    if isinstance(response.body, bytes):
        return response.body
    return b"".join([chunk async for chunk in response.body])


async def messages(owner, query: str) -> list[str]:
    response = await Endpoints(owner, access="open").logs(ask(query))
    assert response.status == 200, response.body
    return [json.loads(line)["message"] for line in (await body(response)).splitlines()]


BAD = [
    ("level=LOUD", "level"),
    ("since=yesterday", "since"),
    ("until=nan", "until"),
    ("limit=0", "limit"),
    ("limit=10001", "limit"),
    ("limit=1e3", "limit"),
    ("order=up", "order"),
    ("colour=red", "colour"),
    ("level=INFO&level=INFO", "level"),
    ("attr.a=1&attr.a=2", "attr.a"),
    ("after=nonsense", "after"),
    ("q=" + "x" * 257, "q"),
    ("follow=true", "follow"),
    ("follow=yes", "follow"),
    ("follow=true&order=desc", "order"),
    ("a=1&" * 60, "query"),
    ("=x", "query"),
    ("since=2026-13-01", "since"),
    ("since=1h&until=2h", "since"),
]


@pytest.mark.parametrize(("query", "parameter"), BAD)
@pytest.mark.asyncio
async def test_a_bad_parameter_is_a_problem_that_names_it(owner, query, parameter):
    response = await Endpoints(owner, access="open").logs(ask(query))
    problem = json.loads(await body(response))
    assert (response.status, problem["parameter"]) == (400, parameter)
    assert dict(response.headers)["content-type"] == "application/problem+json"


@given(st.text(st.characters(codec="utf-8")))
def test_any_query_string_is_a_query_or_a_named_error(text):
    try:
        parse_parameters(text, 0.0)
    except QueryError as error:
        found = error.parameter
    else:
        found = "none"
    assert isinstance(found, str)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("15m", 1_000_000.0 - 900),
        ("2d", 1_000_000.0 - 172_800),
        ("1970-01-02", 86_400.0),
        ("1764000000.5", 1764000000.5),
        ("2025-11-24T16:00:00.500000Z", 1764000000.5),
        ("2025-11-24T17:00:00.5+01:00", 1764000000.5),
        ("2025-11-24 16:00:00Z", 1764000000.0),
        ("2025-11-24T17:00:00 01:00", 1764000000.0),
    ],
)
def test_times_are_rfc_3339_or_seconds_or_so_long_ago(text, time):
    assert parse_parameters(f"since={text}", 1_000_000.0).query.since == time


@pytest.mark.asyncio
async def test_an_expired_cursor_is_410(owner):
    await owner.storage.logs.write([LogEntry(1.0, "INFO", "a")])
    assert (await Endpoints(owner, access="open").logs(ask("after=0123456789abcdef-1"))).status == 410


@pytest.mark.asyncio
async def test_the_newest_are_given_oldest_first_unless_a_place_is_named(owner):
    await owner.storage.logs.write([LogEntry(float(n), "INFO", str(n)) for n in range(10)])
    assert await messages(owner, "limit=3") == ["7", "8", "9"]
    assert await messages(owner, "limit=10") == [str(n) for n in range(10)]
    assert await messages(owner, "limit=3&order=desc") == ["9", "8", "7"]
    assert await messages(owner, "limit=3&since=2") == ["2", "3", "4"]
    (first, *_) = [stored.cursor async for stored in owner.storage.logs.read(LogQuery())]
    assert await messages(owner, f"limit=2&after={first}") == ["1", "2"]


@pytest.mark.asyncio
async def test_every_filter_of_the_query_holds(owner):
    await owner.storage.logs.write(
        [
            LogEntry(1.0, "ERROR", "A Timeout", {"order": 7}, "shop.orders", "a" * 32),
            LogEntry(2.0, "INFO", "paid", {"order": 8}, "other"),
        ]
    )
    query = f"level=warn&q=TIMEOUT&logger=shop&trace_id={'a' * 32}&attr.order=7&until=2"
    assert await messages(owner, query) == ["A Timeout"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer"},
        {"authorization": "Digest secret"},
        {"authorization": "Basic !"},
        {"authorization": "Bearer sécret"},
    ],
)
@pytest.mark.asyncio
async def test_without_the_token_there_is_one_and_the_same_401(owner, headers):
    endpoints = Endpoints(owner, token="secret")
    first = endpoints.metrics(ask(**headers))
    second = await endpoints.logs(ask("limit=0", "POST"))
    assert first == second
    assert first.status == 401
    assert first == endpoints.missing(ask(**headers))
    assert dict(first.headers)["www-authenticate"] == 'Basic realm="obs", Bearer realm="obs"'
    assert len({name for name, _ in first.headers}) == len(first.headers)
    assert json.loads(first.body) == {"type": "about:blank", "title": "Unauthorized", "status": 401}


@pytest.mark.parametrize("token", ["secret", ["old", "secret"]])
@pytest.mark.asyncio
async def test_the_token_is_taken_as_bearer_or_as_the_password_of_basic(owner, token):
    endpoints = Endpoints(owner, token=token)
    basic = base64.b64encode(b"any:secret").decode()
    for value in ("Bearer secret", "bearer secret", f"Basic {basic}"):
        assert endpoints.metrics(ask(authorization=value)).status == 200


@pytest.mark.parametrize(
    "credential", [b"first", b"second", b"wrong", b"", b"f", b"firsts", "zweit\xe9s".encode()]
)
def test_every_token_is_compared_as_bytes_in_constant_time_whichever_is_right(monkeypatch, credential):
    compared = []

    def watched(one, other):
        compared.append((type(one), type(other), other))
        return compare_digest(one, other)

    monkeypatch.setattr(_access, "compare_digest", watched)
    tokens = _access.token_bytes(["first", "second", "zweit\xe9s"])
    request = ask(authorization="Bearer " + credential.decode("latin-1"))
    assert _access.has_token(request, tokens) is (credential in tokens)
    assert compared == [(bytes, bytes, token) for token in tokens]


@pytest.mark.parametrize(
    "headers",
    [
        {"x_forwarded_for": "127.0.0.1"},
        {"forwarded": "for=1"},
        {"x_forwarded": "for=1"},
        {"x_client_ip": "127.0.0.1"},
        {"x_original_for": "127.0.0.1"},
        {"x_real_ip": "1"},
        {"via": "1.1 x"},
        {"cf_connecting_ip": "1"},
        {"true_client_ip": "1"},
        {"host": "evil.example"},
        {"origin": "https://evil.example"},
        {"sec_fetch_site": "cross-site"},
        {"host": "[::1"},
    ],
)
@pytest.mark.asyncio
async def test_loopback_means_no_proxy_and_no_foreign_page(owner, headers):
    endpoints = Endpoints(owner, token="secret", access="loopback")
    assert endpoints.metrics(ask(**headers)).status == 401


@pytest.mark.parametrize("client", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.asyncio
async def test_loopback_lets_in_who_is_here(owner, client):
    endpoints = Endpoints(owner, token="secret", access="loopback")
    assert endpoints.metrics(ask(client=client)).status == 200
    assert endpoints.metrics(ask(client="10.0.0.1")).status == 401
    assert endpoints.metrics(ask(client=None)).status == 401


@pytest.mark.asyncio
async def test_a_check_of_the_host_decides_and_may_differ_for_metrics(owner):
    endpoints = Endpoints(owner, access=lambda request: "x-admin" in request.headers, metrics_access="open")
    assert endpoints.metrics(ask()).status == 200
    assert (await endpoints.logs(ask())).status == 401
    assert (await endpoints.logs(ask(x_admin="1"))).status == 200


@pytest.mark.asyncio
async def test_a_storage_without_a_folder_says_what_to_set(owner, monkeypatch):
    monkeypatch.delenv("OBS_TOKEN", raising=False)
    with pytest.raises(ConfigurationError, match=r"token=.*OBS_TOKEN.*access="):
        Endpoints(owner)
    with pytest.raises(ConfigurationError, match="'closed'"):
        Endpoints(owner, access="closed")
    for access in (lambda: True, lambda request, user: True):
        with pytest.raises(ConfigurationError, match=r"obs_core\.http\.Request.*True or False.*Depends"):
            Endpoints(owner, access=access)
    with pytest.raises(ConfigurationError, match="a token is text"):
        Endpoints(owner, token="")
    with pytest.raises(ConfigurationError, match="no token in it"):
        Endpoints(owner, token=[])
    with pytest.raises(ConfigurationError, match="metrics_access"):
        Endpoints(owner, token="secret", metrics_access="closed")
    with pytest.raises(ConfigurationError, match="token= is text"):
        Endpoints(owner, token=5)
    with pytest.raises(ConfigurationError, match="lets everybody in"):
        Endpoints(owner, token="secret", access="open")
    with pytest.raises(ConfigurationError, match="a runtime is needed"):
        Endpoints(MemoryStorage(), access="open")
    monkeypatch.setenv("OBS_TOKEN", " from-the-environment ")
    endpoints = Endpoints(owner)
    assert endpoints.metrics(ask(authorization="Bearer from-the-environment")).status == 200
    assert (
        Endpoints(owner, token="set").metrics(ask(authorization="Bearer from-the-environment")).status == 401
    )


@pytest.mark.asyncio
async def test_a_token_is_made_once_beside_the_storage(owner, tmp_path, monkeypatch):
    monkeypatch.delenv("OBS_TOKEN", raising=False)

    class OnDisk(MemoryStorage):
        path = tmp_path / "obs.db"

    owner.storage = OnDisk()
    place = tmp_path / "obs.db-token"
    assert str(place) in Endpoints(owner).prepare()
    token = place.read_text()
    assert place.stat().st_mode & 0o777 == 0o600
    assert Endpoints(owner).metrics(ask(authorization=f"Bearer {token}")).status == 200
    assert place.read_text() == token
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.asyncio
async def test_metrics_are_packed_where_that_is_accepted(owner):
    owner.registry.counter("orders", "Orders.").inc()
    endpoints = Endpoints(owner, access="open")
    plain = endpoints.metrics(ask(accept_encoding="gzip;q=0, br"))
    packed = endpoints.metrics(ask(accept_encoding="br, gzip"))
    assert gzip.decompress(packed.body) == plain.body
    headers = dict(plain.headers)
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", OPENMETRICS),
        (
            "application/openmetrics-text;q=0.1,text/plain;version=0.0.4",
            "text/plain; version=0.0.4; charset=utf-8",
        ),
    ],
)
@pytest.mark.asyncio
async def test_the_format_of_metrics_is_the_preferred_one(owner, accept, content_type):
    owner.registry.counter("orders", "Orders.").inc()
    response = Endpoints(owner, access="open").metrics(ask(accept=accept))
    headers = dict(response.headers)
    assert (headers["content-type"], headers["vary"]) == (content_type, "accept, accept-encoding")
    assert response.body.endswith(b"# EOF\n") == (content_type == OPENMETRICS)


@pytest.mark.asyncio
async def test_other_methods_are_405(owner):
    response = Endpoints(owner, access="open").metrics(ask(method="POST"))
    assert (response.status, dict(response.headers)["allow"]) == (405, "GET, HEAD")


@pytest.mark.asyncio
async def test_a_storage_that_is_closed_is_503(owner):
    await owner.storage.__aexit__(None, None, None)
    assert (await Endpoints(owner, access="open").logs(ask())).status == 503
    assert owner.reports == []  # the background says it already, once a minute


@pytest.mark.asyncio
async def test_what_fails_without_a_word_of_its_own_is_503_and_reported(owner):
    owner.storage.logs.read = lambda query: 1 / 0
    assert (await Endpoints(owner, access="open").logs(ask())).status == 503
    assert owner.reports == ["logs: division by zero"]


@pytest.mark.asyncio
async def test_a_storage_that_fails_in_the_first_page_is_503(owner):
    await owner.storage.logs.write([LogEntry(1.0, "INFO", "a")])
    read = owner.storage.logs.read

    async def failing(query):
        async for stored in read(query):
            yield stored
        raise StorageError("gone")

    owner.storage.logs.read = failing
    response = await Endpoints(owner, access="open").logs(ask("since=0"))
    assert response.status == 503  # a page is read before the first byte is sent
    assert owner.reports == []


@pytest.mark.asyncio
async def test_a_stream_that_is_left_closes_what_it_reads(owner):
    await owner.storage.logs.write([LogEntry(float(n), "INFO", str(n)) for n in range(3)])
    read, closed = owner.storage.logs.read, []

    async def watched(query):
        try:
            async for stored in read(query):
                yield stored
        finally:
            closed.append(True)

    owner.storage.logs.read = watched
    response = await Endpoints(owner, access="open").logs(ask("since=0"))
    await response.body.aclose()
    head = await Endpoints(owner, access="open").logs(ask("since=0", "HEAD"))
    assert (head.status, head.body) == (200, b"")
    assert closed == [True, True]


@pytest.mark.asyncio
async def test_a_storage_that_fails_in_a_later_page_breaks_the_stream_off(owner):
    await owner.storage.logs.write([LogEntry(float(n), "INFO", "x" * 1000) for n in range(3000)])
    read, pages = owner.storage.logs.read, []

    def failing(query):
        pages.append(query)
        return read(query) if len(pages) < 2 else 1 / 0

    owner.storage.logs.read = failing
    response = await Endpoints(owner, access="open").logs(ask("since=0&limit=3000"))
    assert len(await anext(response.body)) > 900_000
    with pytest.raises(ZeroDivisionError):
        await anext(response.body)
    assert owner.reports == ["logs: division by zero"]


@pytest.mark.asyncio
async def test_a_collection_that_fails_is_503(owner):
    owner.collect = lambda: 1 / 0
    assert Endpoints(owner, access="open").metrics(ask()).status == 503


def test_requests_are_counted_with_bounded_methods_and_routes():
    registry = Registry()
    metrics = RequestMetrics(registry)
    for method, route, status in (("GET", "/orders/{id}", 200), ("BREW", "", 404), ("GET", "/fail", 500)):
        metrics.started(method, "http")
        metrics.finished(method, route, status, "http", 0.01)
    metrics.started("GET", "gopher")
    metrics.abandoned("GET", "gopher")
    active, duration = registry.collect()
    assert set(active.values) == {0.0}
    counts = [key for key in duration.keys if "_count" in key]
    assert [msgspec.json.encode(key) for key in counts] == [
        msgspec.json.encode(
            f'http_server_request_duration_seconds_count{{http_request_method="{method}",http_route="{route}",'
            f'http_response_status_code="{status}",url_scheme="http",error_type="{error}"}}'
        )
        for method, route, status, error in (
            ("GET", "/orders/{id}", 200, ""),
            ("_OTHER", "_unmatched", 404, ""),
            ("GET", "/fail", 500, "500"),
        )
    ]


def test_an_exception_names_itself_as_the_type_of_the_error():
    registry = Registry()
    metrics = RequestMetrics(registry)
    metrics.started("GET", "http")
    metrics.finished("GET", "/", 500, "http", 0.01, "shop.OutOfStock")
    _, duration = registry.collect()
    assert 'error_type="shop.OutOfStock"' in duration.keys[0]


@pytest.mark.parametrize("given_id", ["", "a b", "é", "x" * 129, "a\nb"])
def test_a_request_id_that_is_not_sane_is_made_new(given_id):
    assert len(request_context({"x-request-id": given_id}).request_id) == 32


def test_a_sane_request_id_and_traceparent_are_taken_over():
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    with request_context({"x-request-id": "abc-1", "traceparent": f"00-{trace}-{span}-01"}) as context:
        assert (context.request_id, context.trace_id) == ("abc-1", trace)
        assert current_context() == {"request_id": "abc-1", "trace_id": trace, "span_id": span}
    assert current_context() == {}


def test_without_a_traceparent_the_request_is_a_trace_of_its_own():
    with request_context({"traceparent": "00-nothing"}) as context:
        assert len(context.trace_id) == 32
        assert current_context()["span_id"] == ""


def test_bodies_are_measured_where_that_is_asked_for():
    plain, sized = Registry(), Registry()
    RequestMetrics(plain).sized("GET", "/", 200, "http", 1, 2)
    RequestMetrics(sized, sizes=True).sized("BREW", "", 500, "http", 1, 2)
    assert not any("body_size" in family.metadata.name for family in plain.collect())
    sums = {
        key: value
        for family in sized.collect()
        for key, value in zip(family.keys, family.values, strict=True)
        if "_size_bytes_sum" in key
    }
    assert list(sums.values()) == [1, 2]
    assert all('http_request_method="_OTHER",http_route="_unmatched"' in key for key in sums)


def test_what_clients_make_up_does_not_fill_the_memory():
    metrics = RequestMetrics(Registry())
    for number in range(100):
        metrics.started(f"M{number}", "http")
        metrics.finished(f"M{number}", "", 405, "http", 0.01)
    assert metrics.kinds == {}


def test_a_forked_child_does_not_repeat_the_identifiers_of_its_parent():
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, request_context({}).request_id.encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 32).decode() != request_context({}).request_id
    os.close(reading)
    os.close(writing)
