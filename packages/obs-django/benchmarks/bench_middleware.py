# /// script
# requires-python = ">=3.11"
# dependencies = ["django-prometheus", "django>=5.2"]
# ///
"""What a request pays for the middleware, under WSGI and ASGI, beside django-prometheus.

Each round times all of them in turn over fresh requests; the cost is what is left after the bare view.
"""

import asyncio
import logging
import platform
import statistics
from importlib.metadata import version
from time import perf_counter

import django
from django.conf import settings
from django.urls import path

REQUESTS, ROUNDS = 2_000, 11


def set_up():
    from obs_core import MemoryStorage
    from obs_runtime import EmbeddedRuntime

    runtime = EmbeddedRuntime(MemoryStorage(), signals=False)
    settings.configure(
        SECRET_KEY="bench",
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=["obs_django"],
        OBS={"RUNTIME": runtime, "TOKEN": "bench"},
    )
    django.setup()
    return runtime


def order(request, order_id):
    """Only resolved, never called."""


urlpatterns = [path("orders/<int:order_id>", order)]


def requests_and_responses(asynchronous):
    """Fresh ones, as they are after Django resolved and answered them."""
    from django.http import HttpResponse
    from django.test import AsyncRequestFactory, RequestFactory
    from django.urls import resolve

    factory = AsyncRequestFactory() if asynchronous else RequestFactory()
    match = resolve("/orders/7")
    made = []
    for _ in range(REQUESTS):
        request = factory.get("/orders/7")
        request.resolver_match = match
        made.append((request, HttpResponse("thank you")))
    return made


def stacks(view):
    from django_prometheus.middleware import PrometheusAfterMiddleware, PrometheusBeforeMiddleware

    from obs_django.middleware import ObsMiddleware

    return {
        "bare": view,
        "obs": ObsMiddleware(view),
        "django-prometheus": PrometheusBeforeMiddleware(PrometheusAfterMiddleware(view)),
    }


def time_wsgi(stack, made):
    begun = perf_counter()
    for request, response in made:
        request.answer = response
        stack(request)
    return perf_counter() - begun


async def time_asgi(stack, made):
    begun = perf_counter()
    for request, response in made:
        request.answer = response
        await stack(request)
    return perf_counter() - begun


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
    runtime = set_up()
    logging.disable(logging.CRITICAL)
    print(
        f"a request over the bare view, median of {ROUNDS} interleaved rounds of {REQUESTS}; Python"
        f" {platform.python_version()}, Django {django.get_version()}, django-prometheus"
        f" {version('django-prometheus')}, prometheus_client {version('prometheus-client')}"
    )
    with runtime:
        measure("WSGI", view, asynchronous=False)
        measure("ASGI", view_async, asynchronous=True)


if __name__ == "__main__":
    main()
