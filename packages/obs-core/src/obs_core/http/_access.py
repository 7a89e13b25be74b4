"""Who may read."""

import binascii
from base64 import b64decode
from collections.abc import Callable, Sequence
from hmac import compare_digest
from inspect import signature
from ipaddress import ip_address
from typing import Final, Literal

from .._errors import ConfigurationError
from ._messages import Request

Access = Literal["token", "loopback", "open"] | Callable[[Request], bool]

_LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
_FORWARDING: Final = frozenset(
    {
        *("forwarded", "via", "x-forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "client-ip"),
        *("cf-connecting-ip", "true-client-ip", "fastly-client-ip", "fly-client-ip"),
    }
)
_PROXIED: Final = ("x-forwarded-", "x-original-")


def checked_access(name: str, access: Access) -> Access:
    """The same. Raises `ConfigurationError` for what is no access."""
    if callable(access):
        if not takes_a_request(access):
            raise ConfigurationError(
                f"{name} is called with the request (obs_core.http.Request) alone, and answers True or False:"
                f" {access!r} cannot be called so; a dependency of FastAPI is given as Depends(...)"
            )
        return access
    if access in ("token", "loopback", "open"):
        return access
    raise ConfigurationError(
        f'{name} must be "token", "loopback", "open" or something to call, not {access!r}'
    )


def takes_a_request(check: Callable[..., object]) -> bool:
    """Whether it can be called with one argument, as far as its signature is known."""
    try:
        known = signature(check)
    except (TypeError, ValueError):
        return True
    try:
        known.bind(None)
    except TypeError:
        return False
    return True


def token_bytes(tokens: Sequence[object]) -> tuple[bytes, ...]:
    """The tokens as bytes. Raises `ConfigurationError` for one that a header cannot carry."""
    return tuple(map(_token_bytes, tokens))


def has_token(request: Request, tokens: Sequence[bytes]) -> bool:
    """Whether the request carries one of the tokens: as Bearer, or as the password of Basic."""
    given = _credential(request.headers.get("authorization", ""))
    found = False
    for token in tokens:  # all of them, so that the time does not tell which
        found |= compare_digest(given, token)
    return found


def is_local(request: Request) -> bool:
    """Whether it comes from this very machine, as far as a request can tell, and no web page sent it.

    A proxy on the same machine that adds no header looks just like that.
    """
    headers = request.headers
    host = headers.get("host", "").lower()
    return (
        _is_loopback(request.client)
        and not any(name in _FORWARDING or name.startswith(_PROXIED) for name in headers)
        and _without_port(host) in _LOCAL_HOSTS
        and headers.get("origin", f"http://{host}").lower() in (f"http://{host}", f"https://{host}")
        and headers.get("sec-fetch-site", "none").lower() in ("none", "same-origin")
    )


def _token_bytes(token: object) -> bytes:
    if not isinstance(token, str) or not token or any(letter <= " " or letter == "\x7f" for letter in token):
        raise ConfigurationError("a token is text without blanks, of at least one character")
    return token.encode("utf-8", "replace")


def _credential(header: str) -> bytes:
    scheme, _, rest = header.encode("latin-1", "replace").partition(b" ")
    rest = rest.strip()
    if scheme.lower() == b"bearer":
        return rest
    if scheme.lower() == b"basic":
        try:
            return b64decode(rest, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return b""


def _is_loopback(client: str | None) -> bool:
    try:
        address = ip_address(client or "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host
