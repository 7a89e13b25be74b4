"""Counts under Django: `/place/NUMBER`, `/level/VALUE`, `/fork`. A project in one file."""

import os

import django
from counted import orders, place, runtime, set_level
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

settings.configure(
    SECRET_KEY="of the tests",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["obs_django"],
    MIDDLEWARE=["obs_django.middleware.ObsMiddleware"],
    OBS={"RUNTIME": "counted.runtime"},
)


def place_order(_: HttpRequest, number: int) -> HttpResponse:
    return HttpResponse(place(number))


def level(_: HttpRequest, value: str) -> HttpResponse:
    return HttpResponse(set_level(float(value)))


def fork(_: HttpRequest) -> HttpResponse:
    """Have a child of this worker place one order."""
    child = os.fork()
    if child == 0:
        orders.labels("forked").inc()
        runtime.flush()
        os._exit(0)
    return HttpResponse(str(os.waitpid(child, 0)[1]))


urlpatterns = [
    path("place/<int:number>", place_order),
    path("level/<str:value>", level),
    path("fork", fork),
    path("", include("obs_django.urls")),
]
django.setup()
application = get_wsgi_application()
asgi = get_asgi_application()
