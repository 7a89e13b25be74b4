# /// script
# requires-python = ">=3.11"
# dependencies = ["django-prometheus", "django>=5.2"]
# ///
"""What a request pays for the middleware, under WSGI and ASGI, beside django-prometheus.

Each round gives all of them fresh requests in turn; the cost is the CPU time that is left after the bare view.
"""

import asyncio
import logging
import platform
import statistics
from importlib.metadata import version
from time import process_time

import django
from django.conf import settings
from django.http import HttpResponse
from django.test import AsyncRequestFactory, RequestFactory
from django.urls import path, resolve

from obs_core import MemoryStorage
from obs_runtime import EmbeddedRuntime

RUNTIME = EmbeddedRuntime(MemoryStorage(), signals=False)
settings.configure(
    SECRET_KEY="bench",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["obs_django"],
    OBS={"RUNTIME": RUNTIME, "TOKEN": "bench"},
)
django.setup()

from django_prometheus.middleware import (  # noqa: E402  # it reads the settings when it is imported
    PrometheusAfterMiddleware,
    PrometheusBeforeMiddleware,
)

from obs_django.middleware import ObsMiddleware  # noqa: E402

REQUESTS, ROUNDS = 2_000, 21


def order(request, order_id):
    """Only resolved, never called."""


urlpatterns = [path("orders/<int:order_id>", order)]


def requests_and_responses(asynchronous):
    """Fresh ones, as they are after Django resolved and answered them."""
    factory = AsyncRequestFactory() if asynchronous else RequestFactory()
    match = resolve("/orders/7")
    made = []
    for _ in range(REQUESTS):
        request = factory.get("/orders/7")
        request.resolver_match = match
        made.append((request, HttpResponse("thank you")))
    return made


def stacks(view):
    return {
        "bare": view,
        "obs": ObsMiddleware(view),
        "django-prometheus": PrometheusBeforeMiddleware(PrometheusAfterMiddleware(view)),
    }


def time_wsgi(stack, made):
    begun = process_time()
    while made:
        request, request.answer = made.pop()
        stack(request)
    return process_time() - begun


async def time_asgi(stack, made):
    begun = process_time()
    while made:
        request, request.answer = made.pop()
        await stack(request)
    return process_time() - begun


def measure(name, view, asynchronous):
    """Microseconds a request over the bare view: the median of the rounds."""
    costs = {}
    built = stacks(view)
    with asyncio.Runner() as runner:
        for number in range(ROUNDS + 1):
            taken = {}
            for label, stack in built.items():
                made = requests_and_responses(asynchronous)
                taken[label] = runner.run(time_asgi(stack, made)) if asynchronous else time_wsgi(stack, made)
            if number:  # the first round warms up
                for label in ("obs", "django-prometheus"):
                    costs.setdefault(label, []).append((taken[label] - taken["bare"]) / REQUESTS * 1e6)
    ours, peer = (statistics.median(costs[label]) for label in ("obs", "django-prometheus"))
    print(
        f"{name:6} obs {ours:5.2f} us   django-prometheus {peer:5.2f} us   ratio {peer / ours:4.1f}",
        flush=True,
    )


def view(request):
    return request.answer


async def view_async(request):
    return request.answer


def main():
    logging.disable(logging.CRITICAL)
    print(
        f"a request over the bare view, median of {ROUNDS} interleaved rounds of {REQUESTS}; Python"
        f" {platform.python_version()}, Django {django.get_version()}, django-prometheus"
        f" {version('django-prometheus')}, prometheus_client {version('prometheus-client')}"
    )
    with RUNTIME:
        measure("WSGI", view, asynchronous=False)
        measure("ASGI", view_async, asynchronous=True)


if __name__ == "__main__":
    main()
