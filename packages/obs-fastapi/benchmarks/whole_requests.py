# /// script
# requires-python = ">=3.11"
# dependencies = ["uvicorn[standard]", "prometheus-fastapi-instrumentator"]
# ///
"""How many requests a second a real uvicorn answers with us and without: the FastAPI example, one worker, started
anew for each round.

`nothing` is a middleware that does nothing: no middleware of Python can cost less.
"""

import os
import tempfile
from functools import partial
from importlib.metadata import version
from pathlib import Path

from shared.load import anew, client
from shared.side_by_side import fewer, named, title

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
SECONDS, ROUNDS, FEWER_ROUNDS = 1.0, 9, 5
WITHOUT = (
    "import obs_fastapi\nobs_fastapi.observe = lambda app, runtime: None\nfrom fastapi_example import app\n"
)
NOTHING = """
inner = app
async def app(scope, receive, send):
    await inner(scope, receive, send)
"""
INSTRUMENTATOR = """
from prometheus_fastapi_instrumentator import Instrumentator
Instrumentator().instrument(app)
"""
QUIET = ("--log-level", "warning", "--no-access-log")


def measure(what: str, path: str, options: tuple[str, ...], budget: str = "", count: int = ROUNDS) -> None:
    with tempfile.TemporaryDirectory() as name:
        modules = {
            "without": ("without", WITHOUT),
            "with nothing": ("nothing", WITHOUT + NOTHING),
            named("obs-fastapi"): ("fastapi_example", (EXAMPLES / "fastapi_example.py").read_text("utf-8")),
            named("prometheus-fastapi-instrumentator"): ("instrumentator", WITHOUT + INSTRUMENTATOR),
        }
        contestants = {}
        for label, (module, text) in modules.items():
            (Path(name) / f"{module}.py").write_text(text, encoding="utf-8")
            contestants[label] = partial(
                anew,
                ["uvicorn", f"{module}:app", "--port", "{port}", *options],
                Path(name) / f"{module}-data",
                path,
                SECONDS,
                PYTHONPATH=os.pathsep.join((name, str(EXAMPLES))),
                OBS_DATA=f"{name}/{module}-data",
            )
        fewer(what, contestants, "without", budget, count)


def main() -> None:
    title(
        f"Whole requests a second: uvicorn {version('uvicorn')}, fastapi {version('fastapi')}, one worker; {client()}",
        "obs-fastapi",
        ROUNDS,
    )
    measure("GET /", "/", QUIET, "goal: at most 2 % fewer")
    measure("GET / with uvicorn's access log", "/", (), count=FEWER_ROUNDS)
    measure("a request that logs an entry", "/customers/ann/orders/7", QUIET, count=FEWER_ROUNDS)


if __name__ == "__main__":
    main()
