"""Starting services, each with its history in one folder, so that a second start finds that of the first."""

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from .examples import Example
from .places import EXAMPLES, free_port
from .prometheus import Prometheus
from .server import Server
from .service import Service


class Starter:
    """Starts services and what looks at them; all are ended with the stack. `env` is for each of them."""

    def __init__(self, stack: ExitStack, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self._stack = stack
        self._env = env or {}
        self._folder = folder
        self.data = folder / "data"

    def command(
        self, command: str, *, cwd: Path = EXAMPLES, prefix: str = "", port: int = 0, **env: str
    ) -> Service:
        """Start a module of this Python, {port} in its arguments being the port; our endpoints are below `prefix`."""
        port = port or free_port()
        parts = [sys.executable, "-m", *command.format(port=port).split()]
        env = {"OBS_DATA": str(self.data), **self._env, **env}
        server = Server(parts, port, self._folder, cwd=cwd, env=env)
        self._stack.enter_context(server)
        return Service(server, self.data / "obs.db-token", prefix, env.get("OBS_TOKEN", ""))

    def example(self, example: Example, *, more: str = "", port: int = 0, **env: str) -> Service:
        """Start an example, with more arguments for its server."""
        return self.command(f"{example.command} {more}", cwd=example.cwd, port=port, **env)

    def prometheus(self, service: Service, rules: Path | None = None) -> Prometheus:
        """Have a real Prometheus scrape this service each second, and look at these rules."""
        token_file = self._folder / "prometheus-token"
        token_file.write_text(service.headers["authorization"].removeprefix("Bearer "))
        prometheus = Prometheus(self._folder / "prometheus", service.server.port, token_file, rules)
        return self._stack.enter_context(prometheus)
