"""Who is let in by real servers: through proxies, over a Unix socket, with addresses that a header made up."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

pytestmark = pytest.mark.integration

FORWARDING = (
    "Forwarded",
    "Via",
    "X_Forwarded_For",
    "X_Forwarded_Host",
    "X_Forwarded_Proto",
    "X_Real_IP",
    "CF_Connecting_IP",
    "True_Client_IP",
)


@contextmanager
def proxy(port: int, **added: str) -> Iterator[str]:
    """In front of a port as a plain nginx is: with the Host of the service, and with nothing added but `added`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            headers["Host"] = f"127.0.0.1:{port}"
            headers |= {name.replace("_", "-"): value for name, value in added.items()}
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as upstream:
                upstream.request("GET", self.path, headers=headers)
                response = upstream.getresponse()
                body = response.read()
            self.send_response(response.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    class Front(ThreadingHTTPServer):
        daemon_threads = False  # they are waited for at the end, with their sockets closed

    with Front(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def get(url: str, **options: object) -> httpx.Response:
    """A busy machine may take its time."""
    return httpx.get(url, timeout=60, **options)


def test_without_the_token_everybody_gets_the_same_401_through_a_proxy_too(serve):
    server = serve("uvicorn")
    with proxy(server.port) as front:
        answers = [
            get(f"{base}{path}")
            for base in (server.url, front)
            for path in ("/metrics", "/logs", "/logs?follow=true", "/logs?limit=0")
        ]
        answers.append(get(f"{front}/metrics", headers={"authorization": "Bearer wrong"}))
        right = get(f"{front}/metrics", headers={"authorization": "Bearer secret"})
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert right.status_code == 200


def test_a_proxy_that_says_so_is_not_loopback(serve):
    server = serve("uvicorn", OBS_TEST_ACCESS="loopback")
    assert get(f"{server.url}/metrics").status_code == 200
    for header in FORWARDING:
        with proxy(server.port, **{header: "127.0.0.1"}) as front:
            assert get(f"{front}/metrics").status_code == 401, header


def test_a_client_that_calls_itself_local_is_not(serve):
    # uvicorn believes X-Forwarded-For from loopback, and makes it the client.
    server = serve("uvicorn", OBS_TEST_ACCESS="loopback")
    for headers in (
        {"x-forwarded-for": "127.0.0.1"},
        {"host": "evil.example"},
        {"host": "localhost.evil.example"},
        {"origin": "https://evil.example"},
        {"sec-fetch-site": "cross-site"},
    ):
        assert get(f"{server.url}/metrics", headers=headers).status_code == 401


def test_a_token_is_taken_from_the_header_alone_and_no_bytes_of_it_make_a_500(serve):
    server = serve("uvicorn")
    assert get(f"{server.url}/metrics?token=secret").status_code == 401
    for value in ("Bearer sécret", "Bearer \xff\xfe", "Basic \xff", "Basic c2VjcmV0", "Bearer", "secret"):
        answer = get(f"{server.url}/metrics", headers={"authorization": value.encode("latin-1")})
        assert answer.status_code == 401
    assert get(f"{server.url}/metrics", auth=("anyone", "secret")).status_code == 200


def test_who_comes_over_a_unix_socket_needs_the_token(serve, tmp_path):
    place = str(tmp_path / "socket")
    serve("uvicorn", OBS_TEST_ACCESS="loopback", OBS_TEST_SOCKET=place)
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=place), timeout=60, base_url="http://localhost"
    ) as client:
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"authorization": "Bearer secret"}).status_code == 200
