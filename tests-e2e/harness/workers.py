"""Four workers of the counting applications, on each server."""

from dataclasses import dataclass

from .places import APPLICATIONS
from .service import Service
from .starting import Starter

TOKEN = "of-the-tests"  # a ring has no folder to keep one in
UVICORN = "uvicorn counting_fastapi:app --workers {workers} --port {{port}} --log-level warning"
GRANIAN = "granian counting_{app} --interface {kind} --workers {{workers}} --port {{{{port}}}} --access-log"
GUNICORN = "gunicorn counting_{app} -w {workers} -k {kind} --bind 127.0.0.1:{{port}}"
SERVERS = {
    "uvicorn": UVICORN,
    "gunicorn-uvicorn": GUNICORN.replace("{app}", "fastapi:app").replace(
        "{kind}", "uvicorn_worker.UvicornWorker"
    ),
    "sync": GUNICORN.replace("{app}", "django:application").replace("{kind}", "sync"),
    "gthread": GUNICORN.replace("{app}", "django:application").replace("{kind}", "gthread --threads 4"),
}
# Which tests run on two workers alone.
OTHERS = {
    "hypercorn": "hypercorn counting_fastapi:app --workers {workers} --bind 127.0.0.1:{{port}} --graceful-timeout 1"
    " --access-logfile -",
    "granian": GRANIAN.format(app="fastapi:app", kind="asgi"),
    "granian-wsgi": GRANIAN.format(app="django:application", kind="wsgi"),
}
OPTIONS = {"": "", "preload": "--preload", "max-requests": "--max-requests 50"}


@dataclass(frozen=True)
class Case:
    server: str
    option: str
    storage: str
    workers: int = 4

    @property
    def name(self) -> str:
        return "-".join(filter(None, (self.server, self.option, self.storage)))

    @property
    def command(self) -> str:
        option = OPTIONS[self.option]
        if self.server == "uvicorn":
            option = option.replace("--max-requests", "--limit-max-requests")
        return f"{(SERVERS | OTHERS)[self.server]} {option}".format(workers=self.workers)

    def start(self, start: Starter, port: int = 0, **env: str) -> Service:
        """Start it; the applications count, and keep what they know in the starter's folder."""
        env = {"PYTHONPATH": str(APPLICATIONS), "E2E_STORAGE": self.storage, "OBS_TOKEN": TOKEN, **env}
        return start.command(self.command, cwd=APPLICATIONS, port=port, **env)
