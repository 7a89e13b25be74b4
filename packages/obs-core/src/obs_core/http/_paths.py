"""The paths that an application names for us."""

from collections.abc import Iterable

from .._errors import ConfigurationError


def checked_paths(prefix: str, exclude: Iterable[str]) -> tuple[str, frozenset[str]]:
    """The prefix without a slash at its end, and the paths to leave out. Raises `ConfigurationError` for others."""
    if prefix.strip("/") and not prefix.startswith("/"):
        raise ConfigurationError(
            f'prefix begins with a slash, as "/{prefix.strip("/")}" does, not {prefix!r}'
        )
    if isinstance(exclude, str):
        raise ConfigurationError(f"exclude is a list of paths: [{exclude!r}], not {exclude!r}")
    paths = frozenset(exclude)
    for path in paths:
        if not path.startswith("/"):
            raise ConfigurationError(f"a path in exclude begins with a slash, not as {path!r} does")
    return prefix.rstrip("/"), paths
