"""The one setting, `OBS`: this is the only module that reads it."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.module_loading import import_string

from obs_core import ObsError, Runtime
from obs_core.http import takes_a_request

Check = Callable[[HttpRequest], Any]
_KEYS: Final = (
    "RUNTIME",
    "TOKEN",
    "ACCESS",
    "METRICS_ACCESS",
    "EXCLUDE",
    "SIZES",
    "SERVER_LOGS",
    "STREAM_LIFE",
)
_WORDS: Final = ("token", "loopback", "open")
# What is called of a runtime here; a Protocol cannot be asked for its attributes without touching them.
_RUNTIME: Final = ("registry", "storage", "handler", "start", "stop", "collect", "report")


class Settings(NamedTuple):
    """What `OBS` says, checked. `access` is a word or a check of the application's own."""

    runtime: Runtime
    token: str | Sequence[str] | None
    access: str | Check
    metrics_access: str | Check
    exclude: frozenset[str]
    sizes: bool
    server_logs: bool
    stream_life: float


def read_settings() -> Settings:
    """Raises `ImproperlyConfigured`, which names the key, for what cannot be."""
    given = getattr(settings, "OBS", None)
    if given is None:
        raise ImproperlyConfigured('OBS is missing: it names the RUNTIME, as "shop.obs.runtime" does')
    if not isinstance(given, dict):
        raise ImproperlyConfigured(f"OBS must be a dictionary, not {given!r}")
    unknown = [repr(key) for key in given if key not in _KEYS]
    if unknown:
        raise ImproperlyConfigured(f"OBS has the unknown keys {', '.join(unknown)}: use {', '.join(_KEYS)}")
    access = _access("ACCESS", given.get("ACCESS", "token"))
    return Settings(
        _runtime(given.get("RUNTIME")),
        _token(given.get("TOKEN")),
        access,
        _access("METRICS_ACCESS", given["METRICS_ACCESS"]) if "METRICS_ACCESS" in given else access,
        _exclude(given.get("EXCLUDE", ())),
        _flag("SIZES", given.get("SIZES", False)),
        _flag("SERVER_LOGS", given.get("SERVER_LOGS", True)),
        _seconds("STREAM_LIFE", given.get("STREAM_LIFE", 300.0)),
    )


def _runtime(value: object) -> Runtime:
    runtime = _imported("RUNTIME", value) if isinstance(value, str) and value else value
    missing = [name for name in _RUNTIME if not hasattr(runtime, name)]
    if missing:
        raise ImproperlyConfigured(
            f'OBS["RUNTIME"] must name a runtime, as "shop.obs.runtime" does; {value!r} has no {missing[0]}'
        )
    return cast(Runtime, runtime)


def _token(value: object) -> str | Sequence[str] | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and all(isinstance(token, str) for token in value):
        return value
    raise ImproperlyConfigured('OBS["TOKEN"] must be text, or a list of texts while it is changed')


def _access(key: str, value: object) -> str | Check:
    if isinstance(value, str) and value not in _WORDS and "." in value:
        value = _imported(key, value)
    if callable(value) and not takes_a_request(value):
        raise ImproperlyConfigured(
            f'OBS["{key}"] is called with the request (Django\'s HttpRequest) alone, and answers True or False: '
            f"{value!r} cannot be called so"
        )
    if value in _WORDS or callable(value):
        return cast("str | Check", value)
    words = ", ".join(f'"{word}"' for word in _WORDS)
    raise ImproperlyConfigured(
        f'OBS["{key}"] must be {words}, or a function of the request or its dotted path, not {value!r}'
    )


def _exclude(value: object) -> frozenset[str]:
    if isinstance(value, list | tuple | set | frozenset) and all(
        isinstance(path, str) and path.startswith("/") for path in value
    ):
        return frozenset(value)
    raise ImproperlyConfigured(f'OBS["EXCLUDE"] must be a list of paths that begin with "/", not {value!r}')


def _flag(key: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ImproperlyConfigured(f'OBS["{key}"] must be True or False, not {value!r}')


def _seconds(key: str, value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return value
    raise ImproperlyConfigured(f'OBS["{key}"] must be a number of seconds above 0, not {value!r}')


def _imported(key: str, path: str) -> object:
    try:
        return import_string(path)
    except (ImportError, ObsError) as error:
        raise ImproperlyConfigured(f'OBS["{key}"] is {path!r}: {error}') from error
