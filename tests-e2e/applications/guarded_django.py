"""Under Django, WSGI and ASGI; with E2E_ACCESS=own behind a decorator of the project. A project in one file."""

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.urls import include, path
from guarded import log, record_bomb, tokens

OWN = os.environ.get("E2E_ACCESS") == "own"
settings.configure(
    SECRET_KEY="of the tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["obs_django"],
    MIDDLEWARE=["obs_django.middleware.ObsMiddleware", "django.middleware.common.CommonMiddleware"],
    OBS={
        "RUNTIME": "guarded.runtime",
        **({"ACCESS": "open"} if OWN else {"TOKEN": tokens, "METRICS_ACCESS": "loopback"}),
    },
)
django.setup()

from obs_django import views  # noqa: E402  # models and settings first


def admins_alone(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    async def checked(request: HttpRequest) -> Any:
        return await view(request) if request.headers.get("x-user") == "admin" else HttpResponseForbidden()

    return checked


def page(_: HttpRequest) -> HttpResponse:
    log.info("shown")
    return HttpResponse("shown")


def bomb(_: HttpRequest) -> HttpResponse:
    record_bomb()
    return HttpResponse()


urlpatterns = [
    path("page", page),
    path("bomb", bomb),
    *(
        [path("logs", admins_alone(views.logs)), path("metrics", admins_alone(views.metrics))]
        if OWN
        else [path("", include("obs_django.urls"))]
    ),
]
application = get_wsgi_application()
asgi = get_asgi_application()
