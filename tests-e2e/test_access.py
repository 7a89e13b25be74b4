"""Who is let in, and what everybody else is told: on real servers, over every kind of address, through a real nginx."""

import base64
import http.client
import json
import re
import sys
from contextlib import ExitStack

import pytest

from harness import APPLICATIONS, Server, Service, free_port, until
from harness.nginx import nginx
from harness.raw import Raw, ask

pytestmark = pytest.mark.e2e
OLD, NEW, IN_A_URL = "older-token", "jünger-🔑", "right-but-in-a-url"
# The name of a user, which servers print: a token given so is not one.
AS_A_NAME = "right-but-a-name"
UVICORN = "uvicorn {app} --port {port}"
GUNICORN = (
    "gunicorn {app} --bind 127.0.0.1:{port} --bind [::1]:{port} --bind [::ffff:127.0.0.1]:{mapped}"
    " --bind unix:{socket} --access-logfile - {more}"
)
SERVERS = {
    "uvicorn": (UVICORN, "guarded_fastapi:app", ""),
    "gunicorn-uvicorn": (GUNICORN, "guarded_fastapi:app", "-k uvicorn_worker.UvicornWorker"),
    "django-sync": (GUNICORN, "guarded_django:application", ""),
    "django-uvicorn": (UVICORN, "guarded_django:asgi", ""),
}
OURS = (
    "/metrics",
    "/logs",
    "/metrics/",
    "/logs/",
    "/logs?follow=true",
    "/logs?limit=0",
    f"/logs?token={IN_A_URL}",
)
METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
FORWARDED = (
    *("Forwarded: for=127.0.0.1", "Via: 1.1 x", "X-Real-IP: 127.0.0.1", "X-Forwarded: for=127.0.0.1"),
    *("CF-Connecting-IP: 127.0.0.1", "True-Client-IP: 127.0.0.1", "X-Client-IP: 127.0.0.1"),
    *(
        f"X-Forwarded-{name}: 127.0.0.1"
        for name in ("For", "Host", "Proto", "Port", "Server", "Prefix", "Anything")
    ),
)
FOREIGN = (
    *("Origin: https://evil.example", "Origin: null", "Origin: http://localhost:1"),
    *("Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"),
    *(
        f"Host: {host}"
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1")
    ),
)
HERE = (
    *("Host: LOCALHOST", "Host: localhost:8000", "Host: 127.0.0.1:8000", "Host: [::1]:8000", "Host: [::1]"),
    *("Sec-Fetch-Site: none", "Sec-Fetch-Site: same-origin", "Origin: http://localhost"),
)


class Guarded:
    """A service on one of the servers, by all the addresses that it has."""

    def __init__(self, stack: ExitStack, folder, kind: str, **env: str) -> None:
        command, app, more = SERVERS[kind]
        port, self.mapped, self.socket = free_port(), free_port(), folder / "socket"
        named = {"port": port, "mapped": self.mapped, "socket": self.socket, "app": app, "more": more}
        self.data = folder / "data"
        self.server = stack.enter_context(
            Server(
                [sys.executable, "-m", *command.format(**named).split()],
                port,
                folder,
                cwd=APPLICATIONS,
                env={"OBS_DATA": str(self.data), "E2E_TOKENS": f"{OLD} {NEW} {IN_A_URL} {AS_A_NAME}", **env},
                ready="/page",
            )
        )
        self.address = ("127.0.0.1", port)
        self.service = Service(self.server, self.data / "obs.db-token", token=OLD)


@pytest.fixture(scope="module", params=SERVERS)
def guarded(request, tmp_path_factory):
    with ExitStack() as stack:
        yield Guarded(stack, tmp_path_factory.mktemp(request.param), request.param)


def bearer(token: bytes | str) -> bytes:
    return b"authorization: Bearer " + (token.encode() if isinstance(token, str) else token)


def basic(password: bytes | str) -> bytes:
    given = password.encode() if isinstance(password, str) else password
    return b"authorization: Basic " + base64.b64encode(b"anyone:" + given)


WRONG = (
    *(b"authorization:", b"authorization: Bearer", b"authorization: Digest x", b"authorization: Basic ???"),
    *(bearer("wrong"), bearer(OLD[:-1]), bearer(OLD + "x"), bearer(OLD.upper()), bearer(f"{OLD} {NEW}")),
    *(bearer(NEW.encode("latin-1", "replace")), bearer(b"\xff\xfe"), basic("wrong"), basic(b"\xff")),
    *(b"authorization: Basic " + base64.b64encode(AS_A_NAME.encode()), b"authorization: " + OLD.encode()),
    *(b"cookie: token=" + OLD.encode(), b"x-token: " + OLD.encode(), b"proxy-" + bearer(OLD)),
)


def test_whoever_may_not_read_gets_one_answer_byte_for_byte_whatever_is_asked(guarded):
    # A foreign Host, so that /metrics, which is open to this machine here, is closed too.
    far = b"host: example.org"
    first = ask(guarded.address, "/metrics", far)
    assert first.status == 401
    assert json.loads(first.body) == {"type": "about:blank", "title": "Unauthorized", "status": 401}
    assert first.header("content-type") == "application/problem+json"
    assert "no-store" in first.header("cache-control")
    assert first.header("x-content-type-options") == "nosniff"
    assert first.header("www-authenticate") == 'Basic realm="obs", Bearer realm="obs"'
    assert not re.search(rb"\d+\.\d+", first.body), "no version"

    for path in OURS:
        for method in METHODS:
            body = b"{}" if method in ("POST", "PUT", "PATCH") else b""
            assert ask(guarded.address, path, far, method=method, body=body) == first, (method, path)
        assert ask(guarded.address, path, far, method="HEAD") == Raw(401, first.head, b""), path
    for line in WRONG:
        assert ask(guarded.address, "/logs", far, line) == first, line
        assert ask(guarded.address, "/metrics", far, line) == first, line


@pytest.mark.parametrize(
    "path", ["/obs/metrics", "/obs/logs", "/obs/", "/obs/nothing", "/obs/logs/x?follow=true"]
)
def test_a_mounted_application_answers_all_that_is_below_it_alike(guarded, path):
    if "guarded_django" in " ".join(guarded.server.process.args):
        assert ask(guarded.address, path).status == 404, "nothing is mounted in the project"
        return
    first = ask(guarded.address, "/obs/metrics")
    assert (first.status, ask(guarded.address, path)) == (401, first)
    assert ask(guarded.address, path, method="POST", body=b"x") == first
    assert ask(guarded.address, path, bearer(OLD)).status in (200, 404)


@pytest.mark.parametrize("token", [OLD, NEW])
def test_each_of_several_tokens_lets_in_also_one_that_is_not_ascii(guarded, token):
    for line in (bearer(token), bearer(token).replace(b"Bearer", b"bEARER"), basic(token)):
        assert ask(guarded.address, "/logs", b"host: example.org", line).status == 200


def test_a_token_is_neither_printed_nor_logged_nor_stored(guarded):
    given = [OLD, NEW, "a-wrong-one"]
    for token in given:
        for line in (bearer(token), basic(token)):
            for path in ("/logs", "/metrics", "/page", "/logs?level=NONE", "/nowhere"):
                ask(guarded.address, path, line)
    ask(guarded.address, f"/page?token={IN_A_URL}")
    until(lambda: guarded.service.logs(logger="guarded"), "entries are stored")
    stored = guarded.service.read("/logs", limit=10_000).text
    secrets = [*given, *(basic(token).rpartition(b" ")[2].decode() for token in given)]
    for secret in secrets:
        assert secret not in stored
        assert secret not in guarded.server.output
    assert IN_A_URL not in stored, "what the server's own line on the console shows, the entry does not"


def test_loopback_is_a_client_of_this_machine_and_no_proxy_and_no_page_of_another_site(guarded):
    refused = ask(guarded.address, "/metrics", b"host: evil.example")
    assert (ask(guarded.address, "/metrics").status, refused.status) == (200, 401)
    for line in HERE:
        assert ask(guarded.address, "/metrics", line.encode()).status == 200, line
    for line in (*FORWARDED, *FOREIGN):
        assert ask(guarded.address, "/metrics", line.encode()) == refused, line
        assert ask(guarded.address, "/metrics", line.lower().encode(), bearer(OLD)).status == 200, line
    assert ask(guarded.address, "/metrics", version="1.0").status == 401, "a Host must be there"


def test_loopback_is_right_for_ipv6_for_mapped_addresses_and_for_a_unix_socket(guarded):
    if not guarded.socket.exists():
        return  # uvicorn has one address; obs-asgi/tests/test_strangers.py asks it over a socket of its own
    port = guarded.address[1]
    assert ask(("::1", port), "/metrics", b"host: [::1]").status == 200
    assert ask(("127.0.0.1", guarded.mapped), "/metrics").status == 200
    assert ask(("::1", port), "/metrics", b"host: [::1]", b"x-forwarded-for: ::1").status == 401
    assert ask(guarded.socket, "/metrics").status == 401, "whoever is behind a socket"
    assert ask(guarded.socket, "/metrics", bearer(OLD)).status == 200


def test_nginx_that_adds_nothing_looks_like_a_local_client_and_with_any_header_does_not(guarded, tmp_path):
    port = guarded.address[1]
    added = {
        "plain": ("", 200),  # why it is not the default, and what the documentation says
        "for": ("proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;", 401),
        "real": ("proxy_set_header X-Real-IP $remote_addr;", 401),
        "proto": ("proxy_set_header X-Forwarded-Proto $scheme;", 401),
        "host": ("proxy_set_header Host $host;", 401),
        "http11": ("proxy_http_version 1.1;", 200),
    }
    for name, (more, status) in added.items():
        with nginx(tmp_path / name, port, more) as front:
            address = ("127.0.0.1", front.port)
            assert ask(address, "/metrics", b"host: shop.example").status == status, name
            # The token decides all the rest, through any proxy.
            assert ask(address, "/logs", b"host: shop.example").status == 401, name
            assert ask(address, "/logs", b"host: shop.example", bearer(NEW)).status == 200, name
    if guarded.socket.exists():
        with nginx(tmp_path / "socket", guarded.socket) as front:
            assert ask(("127.0.0.1", front.port), "/metrics").status == 401


def test_every_answer_has_its_exact_type_and_is_neither_kept_nor_guessed(guarded):
    token, problem = bearer(OLD), "application/problem+json"
    until(guarded.service.logs, "entries are stored")
    asked = {
        "/metrics": (200, "text/plain; version=0.0.4; charset=utf-8"),
        "/logs": (200, "application/x-ndjson"),
        "/logs?level=LOUD": (400, problem),
        "/logs?after=00000000-1": (410, problem),
    }
    for path, (status, kind) in asked.items():
        for method in ("GET", "HEAD"):
            answer = ask(guarded.address, path, token, method=method)
            assert (answer.status, answer.header("content-type")) == (status, kind)
            assert_safe(answer)
    refused = ask(guarded.address, "/logs", token, method="POST")
    assert (refused.status, refused.header("content-type"), refused.header("allow")) == (
        405,
        problem,
        "GET, HEAD",
    )
    assert_safe(refused)


def assert_safe(answer: Raw) -> None:
    assert "no-store" in answer.header("cache-control")
    assert answer.header("x-content-type-options") == "nosniff"


@pytest.mark.parametrize("given", ["a", "!~", "x" * 128, "7f3e:1/2"])
def test_a_sane_request_id_is_taken_over(guarded, given):
    assert guarded.service.get("/page", x_request_id=given).headers["x-request-id"] == given


@pytest.mark.parametrize(
    "given", [b"", b" ", b"a b", b"a\tb", b"x" * 129, "é".encode(), b"\xff", b"a, b", b"a\x7fb", b"a\x1bb"]
)
def test_an_insane_one_is_replaced_or_refused_by_the_server(guarded, given):
    answer = ask_page(guarded, b"x-request-id: " + given)
    assert answer[0] in (200, 400)
    if answer[0] == 200:
        assert re.fullmatch("[0-9a-f]{32}", answer[1])


def ask_page(guarded, line: bytes) -> tuple[int, str]:
    """Status and request id of a page."""
    with ExitStack() as stack:
        connection = http.client.HTTPConnection(*guarded.address, timeout=20)
        stack.callback(connection.close)
        connection.putrequest("GET", "/page")
        name, _, value = line.partition(b": ")
        connection._buffer.append(name + b": " + value)  # putheader would refuse what is tried here
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.headers.get("x-request-id", "")


def test_a_bomb_is_cut_before_it_is_stored_and_marked(guarded):
    assert guarded.service.get("/bomb").status_code == 200
    read = lambda: guarded.service.logs(logger="guarded", q="a", limit=10_000)  # noqa: E731
    names = ("a message", "an attribute", "many attributes", "a list")
    entries = until(
        lambda: [e for e in read() if e["message"].startswith(names)][3:] and read(), "all are stored"
    )
    for entry in (entry for entry in entries if entry["message"].startswith(names)):
        assert len(json.dumps(entry)) < 80_000
        cut = entry["attributes"].get("obs.truncated") is True or "<cut>" in json.dumps(entry)
        assert cut, entry["message"][:20]


def test_a_dependency_of_fastapi_decides_for_its_own_paths(tmp_path, stack):
    guarded = Guarded(stack, tmp_path, "gunicorn-uvicorn")
    for path in ("/own/metrics", "/own/logs"):
        assert ask(guarded.address, path).status == 403
        assert ask(guarded.address, path, bearer(OLD)).status == 403
        assert ask(guarded.address, path, b"x-user: admin").status == 200


@pytest.mark.parametrize("kind", ["django-sync", "django-uvicorn"])
def test_a_decorator_of_a_django_project_decides(tmp_path, stack, kind):
    guarded = Guarded(stack, tmp_path, kind, E2E_ACCESS="own")
    for path in ("/metrics", "/logs"):
        assert ask(guarded.address, path).status == 403
        assert ask(guarded.address, path, bearer(OLD)).status == 403
        assert ask(guarded.address, path, b"x-user: admin").status == 200


def test_the_token_that_is_made_is_named_by_its_place_alone(tmp_path, stack):
    guarded = Guarded(stack, tmp_path, "uvicorn", E2E_TOKENS="")
    token = (guarded.data / "obs.db-token").read_text().strip()
    assert f"needs the token in {guarded.data / 'obs.db-token'}" in guarded.server.output
    assert ask(guarded.address, "/logs", bearer(token)).status == 200
    assert ask(guarded.address, "/logs", bearer(OLD)).status == 401
    assert len(token) >= 43, "256 bits"
    assert token not in guarded.server.output
    assert token not in Service(guarded.server, guarded.data / "obs.db-token").read("/logs").text
