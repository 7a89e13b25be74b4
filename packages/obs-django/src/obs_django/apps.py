"""The application for `INSTALLED_APPS`. It starts nothing: migrate, autoreload and a preloading master load it too."""

from django.apps import AppConfig
from django.core.checks import register
from django.http import HttpRequest

from obs_core import describe

from .checks import check_middleware, check_setting


class ObsConfig(AppConfig):
    """Registers the system checks."""

    name = "obs_django"
    verbose_name = "obs"

    def ready(self) -> None:
        describe(HttpRequest, _without_query)
        register(check_setting)
        register(check_middleware)


def _without_query(request: HttpRequest) -> str:
    # Django gives the request to its entries; what stands behind the `?` may be secret.
    return f"{request.method} {request.path}"
