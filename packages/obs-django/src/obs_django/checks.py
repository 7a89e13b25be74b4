"""What `manage.py check` says of the setting."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured

from ._service import WITHOUT, Service
from ._settings import read_settings

_MIDDLEWARE = "obs_django.middleware.ObsMiddleware"


def check_setting(**_: Any) -> list[CheckMessage]:
    """E001: what `OBS` says cannot be. The runtime is imported for this, and not started."""
    try:
        Service(read_settings())
    except ImproperlyConfigured as error:
        # Where another key is wrong, the message says what it takes.
        hint = 'As in OBS = {"RUNTIME": "shop.obs.runtime"}.' if "RUNTIME" in str(error) else None
        return [Error(str(error), hint=hint, id="obs_django.E001")]
    return []


def check_middleware(**_: Any) -> list[CheckMessage]:
    """E002 where the middleware stands there twice, W001 without it, W002 where it is not the first.

    What comes before it is not seen by it.
    """
    middleware = list(settings.MIDDLEWARE)
    if middleware.count(_MIDDLEWARE) > 1:
        hint = "Leave one of them out: each request would be counted twice."
        return [Error("ObsMiddleware stands in MIDDLEWARE twice", hint=hint, id="obs_django.E002")]
    if _MIDDLEWARE not in middleware:
        hint = f"Put {_MIDDLEWARE!r} first."
        return [CheckWarning(WITHOUT, hint, id="obs_django.W001")]
    if middleware[0] != _MIDDLEWARE:
        hint = "Put it first, so that errors and answers of the others are measured and named too."
        return [CheckWarning("ObsMiddleware is not the first of MIDDLEWARE", hint, id="obs_django.W002")]
    return []
