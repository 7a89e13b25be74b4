"""Who may read: who has the token. All others get one and the same 401."""

import base64
import binascii
import hmac
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from .._errors import ConfigurationError
from ._messages import Request, Response, answer

Access = Literal["token", "loopback", "open"] | Callable[[Request], bool]
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_FORWARDED: Final = ("forwarded", "via", "x-real-ip", "cf-connecting-ip", "true-client-ip")
_BODY: Final = b'{"type":"about:blank","title":"Unauthorized","status":401}'


def check_access(access: Access, tokens: Sequence[str], path: Path | None) -> None:
    """Raise `ConfigurationError` where nobody could ever be let in, and say what to set."""
    if not callable(access) and access not in ("token", "loopback", "open"):
        raise ConfigurationError(f"access must be 'token', 'loopback', 'open' or a function, not {access!r}")
    if access == "token" and path is None and not tokens:
        raise ConfigurationError(
            "this storage has no folder for a token: set token=..., the environment's OBS_TOKEN, or access=..."
        )


def given_tokens(token: str | Sequence[str] | None) -> tuple[str, ...]:
    """The tokens of the arguments, or of the environment's `OBS_TOKEN`; several allow a rotation."""
    if token is None:
        token = os.environ.get("OBS_TOKEN", "").split()
    tokens = (token,) if isinstance(token, str) else tuple(token)
    if not all(tokens):
        raise ConfigurationError("an empty token lets everybody in: give a longer one, or none")
    return tokens


def token_path(path: Path) -> Path:
    """Where the token of a storage is kept."""
    return path.with_name(f"{path.name}-token")


def kept_token(path: Path) -> str:
    """The token beside a storage, made at the first start with mode 0600; links are not followed."""
    place = token_path(path)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    follow = getattr(os, "O_NOFOLLOW", 0)
    fresh = place.with_name(f"{place.name}.{secrets.token_hex(4)}")
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | follow, 0o600)
    try:
        os.write(file, secrets.token_urlsafe(32).encode())
    finally:
        os.close(file)
    try:
        # Several workers start at once: one link wins, and never a file that is half written.
        os.link(fresh, place)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    file = os.open(place, os.O_RDONLY | follow)
    try:
        return os.read(file, 4096).decode("ascii", "replace").strip()
    finally:
        os.close(file)


def allowed(request: Request, access: Access, tokens: Sequence[str]) -> bool:
    """Whether a request may read."""
    if callable(access):
        return bool(access(request))
    return access == "open" or (access == "loopback" and _is_local(request)) or _has_token(request, tokens)


def unauthorized() -> Response:
    """The one refusal, which tells nothing."""
    return answer(
        401,
        "application/problem+json",
        _BODY,
        ("www-authenticate", 'Bearer realm="obs"'),
        ("www-authenticate", 'Basic realm="obs", charset="UTF-8"'),
    )


def _has_token(request: Request, tokens: Sequence[str]) -> bool:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    given = credentials.strip().encode("utf-8", "replace")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
    elif scheme.lower() != "bearer":
        return False
    # All are compared, so that the time tells nothing.
    return sum(hmac.compare_digest(given, token.encode()) for token in tokens) > 0


def _is_local(request: Request) -> bool:
    headers = request.headers
    if request.client not in _LOOPBACK or any(name in headers for name in _FORWARDED):
        return False
    if any(name.startswith("x-forwarded") for name in headers):
        return False
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return False
    origin = headers.get("origin", "")
    return _name_of(f"//{headers.get('host', '')}") in _LOCAL_NAMES and (
        not origin or _name_of(origin) in _LOCAL_NAMES
    )


def _name_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
