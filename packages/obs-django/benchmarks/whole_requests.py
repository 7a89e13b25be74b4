# /// script
# requires-python = ">=3.11"
# dependencies = ["gunicorn", "django-prometheus", "django>=5.2"]
# ///
"""How many requests a second gunicorn's sync worker answers with us and without: the Django example, one worker,
started anew for each round.

This worker takes a connection for each request. `nothing` is a middleware that does nothing.
"""

import os
import tempfile
from functools import partial
from importlib.metadata import version
from pathlib import Path

from shared.load import anew, client
from shared.side_by_side import fewer, named, title

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "django_example"
SECONDS, ROUNDS = 1.0, 9
WITHOUT = """
from shop.settings import *
MIDDLEWARE = MIDDLEWARE[1:]
OBS = {**OBS, "TOKEN": "bench"}
def nothing(get_response):
    return lambda request: get_response(request)
"""
SETTINGS = {
    "without": ("without", WITHOUT),
    "with nothing": ("nothing", WITHOUT + "MIDDLEWARE = ['nothing.nothing', *MIDDLEWARE]\n"),
    named("obs-django"): ("observed", "from shop.settings import *\n"),
    named("django-prometheus"): (
        "prometheus",
        WITHOUT + "MIDDLEWARE = ['django_prometheus.middleware.PrometheusBeforeMiddleware', *MIDDLEWARE,"
        " 'django_prometheus.middleware.PrometheusAfterMiddleware']\n",
    ),
}


def main() -> None:
    title(
        f"Whole requests a second: gunicorn {version('gunicorn')} sync, django {version('django')}; {client()}",
        "obs-django",
        ROUNDS,
    )
    with tempfile.TemporaryDirectory() as name:
        contestants = {}
        for label, (module, text) in SETTINGS.items():
            (Path(name) / f"{module}.py").write_text(text, encoding="utf-8")
            contestants[label] = partial(
                anew,
                ["gunicorn", "-b", "127.0.0.1:{port}", "-w", "1", "--log-level", "warning", "shop.wsgi"],
                Path(name) / f"{module}-data",
                "/",
                SECONDS,
                PYTHONPATH=os.pathsep.join((name, str(EXAMPLE))),
                OBS_DATA=f"{name}/{module}-data",
                DJANGO_SETTINGS_MODULE=module,
            )
        fewer("GET /", contestants, "without", "", ROUNDS)


if __name__ == "__main__":
    main()
