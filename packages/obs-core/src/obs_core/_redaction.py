"""Secrets are taken out of an entry before it leaves the process."""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import msgspec

from ._errors import ConfigurationError
from ._records import LogEntry

MASK: Final = "***"
SECRET_NAMES: Final = frozenset(
    {
        *("authorization", "cookie", "cookies", "password", "passwd", "pwd", "secret", "token", "session"),
        *("csrf", "dsn", "apikey", "sessionid", "csrftoken", "credential", "credentials", "auth", "jwt"),
        *("accesstoken", "refreshtoken", "passphrase", "privatekey"),
    }
)
_PARTS: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z0-9]+")
# What carries a secret in plain text: credentials after a scheme, and in an address.
_TEXT: Final = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}|(?<=://)([^\s/:@]*):[^\s/]+(?=@)")

Redact = Callable[[LogEntry], LogEntry]


def redactor(names: Iterable[str] = SECRET_NAMES) -> Redact:
    """What replaces by `***` the values whose name, or a part of it as in `db_password`, is one of `names`.

    In any case and at any depth; `api_key` and `apiKey` match `apikey`. Of texts, also messages, what
    follows `Bearer` or `Basic`, and the password of an address, is replaced. Raises `ConfigurationError` for text in
    place of a list, whose letters would be the names.
    """
    if isinstance(names, str):
        raise ConfigurationError(f"redact is a list of names: [{names!r}], not {names!r}")
    secret_names = frozenset(re.sub(r"[_.\-]", "", name).lower() for name in names)

    @lru_cache(maxsize=10_000)
    def secret(name: str) -> bool:
        return _is_secret(name, secret_names)

    def value_of(value: Any) -> Any:
        if type(value) is str:
            return _masked(value)
        if type(value) is dict:
            return {name: MASK if secret(name) else value_of(item) for name, item in value.items()}
        if type(value) is not list:
            return value
        if len(value) == 2 and type(value[0]) is str and secret(value[0]):  # a header, as ASGI has them
            return [value[0], MASK]
        return [value_of(item) for item in value]

    def redact(entry: LogEntry) -> LogEntry:
        message, attributes = _masked(entry.message), value_of(entry.attributes)
        if message == entry.message and attributes == entry.attributes:
            return entry
        return msgspec.structs.replace(entry, message=message, attributes=attributes)

    return redact


def _is_secret(name: str, secret_names: frozenset[str]) -> bool:
    parts = [part.lower().rstrip("0123456789") for part in _PARTS.findall(name)]
    return any(part in secret_names for part in parts) or any(
        first + second in secret_names for first, second in pairwise(parts)
    )


def _masked(text: str) -> str:
    # Two plain searches are far cheaper than the pattern, and nearly always say no.
    if (
        "://" not in text
        and "earer " not in text
        and "asic " not in text
        and "EARER" not in text
        and "ASIC" not in text
    ):
        return text
    return _TEXT.sub(lambda match: f"{match[1]} {MASK}" if match[1] else f"{match[2]}:{MASK}", text)
