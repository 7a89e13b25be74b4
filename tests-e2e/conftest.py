import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("harness")

from harness import EXAMPLES, Prometheus, Server, Service, free_port  # noqa: E402

Serve = Callable[..., Service]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def data(tmp_path) -> Path:
    """The folder of the service's history and token."""
    return tmp_path / "data"


@pytest.fixture
def serve(stack, tmp_path, data) -> Serve:
    """Start an example by a command in which {port} stands for its port; it keeps its history in `data`."""

    def start(command: str, *, cwd: Path = EXAMPLES, ready: str = "/", port: int = 0, **env: str) -> Service:
        port = port or free_port()
        parts = [sys.executable, "-m", *command.format(port=port).split()]
        server = Server(parts, port, tmp_path, cwd=cwd, env={"OBS_DATA": str(data), **env}, ready=ready)
        return Service(stack.enter_context(server), data / "obs.db-token")

    return start


@pytest.fixture
def scraped(stack, tmp_path) -> Callable[[Service], Prometheus]:
    """Have a real Prometheus scrape a service each second."""

    def start(service: Service) -> Prometheus:
        assert service.headers, "the token is there"
        prometheus = Prometheus(tmp_path / "prometheus", service.server.port, service.token_file)
        return stack.enter_context(prometheus)

    return start
