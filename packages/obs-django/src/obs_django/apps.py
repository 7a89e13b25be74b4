"""The application for `INSTALLED_APPS`. It starts nothing: migrate, autoreload and a preloading master load it too."""

from django.apps import AppConfig
from django.core.checks import register

from .checks import check_middleware, check_setting


class ObsConfig(AppConfig):
    """Registers the system checks."""

    name = "obs_django"
    verbose_name = "obs"

    def ready(self) -> None:
        register(check_setting)
        register(check_middleware)
