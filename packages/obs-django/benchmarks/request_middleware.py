# /// script
# requires-python = ">=3.11"
# dependencies = ["django-prometheus", "django>=5.2"]
# ///
"""What a request pays for the middleware, under WSGI and ASGI, beside django-prometheus.

Each round gives all of them fresh requests in turn; the cost is the CPU time that is left after the bare view.
"""

import asyncio
import logging
from time import process_time

import django
from django.conf import settings
from django.http import HttpResponse
from django.test import AsyncRequestFactory, RequestFactory
from django.urls import path, resolve
from shared.side_by_side import named, over, rows, title

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

US = named("obs-django")
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
        US: ObsMiddleware(view),
        named("django-prometheus"): PrometheusBeforeMiddleware(PrometheusAfterMiddleware(view)),
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


def measure(what, view, asynchronous):
    """What each costs over the bare view."""
    built = stacks(view)
    figures = {label: [] for label in built}
    with asyncio.Runner() as runner:
        for number in range(ROUNDS + 1):
            for label, stack in built.items():
                made = requests_and_responses(asynchronous)
                taken = runner.run(time_asgi(stack, made)) if asynchronous else time_wsgi(stack, made)
                if number:  # the first round warms up
                    figures[label].append(taken / REQUESTS)
    rows(what, over(figures, "bare"), "budget: at most 3 us, a tenth of the best peer", US)


def view(request):
    return request.answer


async def view_async(request):
    return request.answer


def main():
    logging.disable(logging.CRITICAL)
    title(f"Request middleware, django {django.get_version()}, over the bare view", "obs-django", ROUNDS)
    with RUNTIME:
        measure("a request in Django, WSGI", view, asynchronous=False)
        measure("a request in Django, ASGI", view_async, asynchronous=True)


if __name__ == "__main__":
    main()
