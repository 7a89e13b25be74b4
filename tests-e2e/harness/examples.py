"""The examples that serve, each with the servers that it is run on."""

import signal
from dataclasses import dataclass, replace
from pathlib import Path

from .places import EXAMPLES
from .server import Server


@dataclass(frozen=True)
class Example:
    """How an example is started, and a page of it: `page` shows a number and logs one entry that carries it."""

    name: str
    command: str
    page: str
    route: str
    logger: str
    attribute: str
    cwd: Path = EXAMPLES
    # A terminal signals the workers, and so does the master: gunicorn's gthread worker may then hang for ever, without
    # obs too (its handler is entered twice, and waits for its own lock). There the master alone is signalled.
    ctrl_c_for_all: bool = True

    def interrupt(self, server: Server) -> float:
        """Ctrl-C; the seconds until the end."""
        return server.interrupt() if self.ctrl_c_for_all else server.stop(signal.SIGINT)

    def path(self, number: int) -> str:
        return self.page.format(number)


UVICORN = "uvicorn {app} --port {{port}}"
GUNICORN = "gunicorn {app} --bind 127.0.0.1:{{port}}"


def _asgi(name: str, command: str) -> Example:
    command = command.format(app="asgi_example:app")
    return Example(name, command, "/greet/{}", "/greet/{name}", "greeter", "guest")


def _fastapi(name: str, command: str) -> Example:
    command = command.format(app="fastapi_example:app")
    route = "/customers/{customer}/orders/{order}"
    return Example(name, command, "/customers/ada/orders/{}", route, "shop.orders", "order")


def _django(name: str, command: str, interface: str) -> Example:
    command = command.format(app=f"shop.{interface}:application")
    route = "/customers/<slug:customer>/orders/<int:order>/"
    page = "/customers/ada/orders/{}/"
    return Example(name, command, page, route, "shop.orders", "order", EXAMPLES / "django_example")


ASGI = _asgi("asgi", UVICORN)
FASTAPI = _fastapi("fastapi", UVICORN)
FASTAPI_GUNICORN = _fastapi("fastapi on gunicorn", GUNICORN + " -k uvicorn_worker.UvicornWorker")
DJANGO_ASGI = _django("django on uvicorn", UVICORN + " --lifespan auto", "asgi")
DJANGO_SYNC = _django("django on gunicorn, sync", GUNICORN + " -k sync", "wsgi")
DJANGO_GTHREAD = replace(
    _django("django on gunicorn, gthread", GUNICORN + " -k gthread --threads 4", "wsgi"), ctrl_c_for_all=False
)

ALL = (ASGI, FASTAPI, FASTAPI_GUNICORN, DJANGO_ASGI, DJANGO_SYNC, DJANGO_GTHREAD)
