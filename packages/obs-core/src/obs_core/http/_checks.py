"""What an application gives us, looked at when it is given."""

from collections.abc import Iterable

from .._errors import ConfigurationError
from .._ports import Runtime


def checked_paths(prefix: str, exclude: Iterable[str]) -> tuple[str, frozenset[str]]:
    """The prefix without a slash at its end, and the paths to leave out. Raises `ConfigurationError` for others."""
    given: object = prefix
    if not isinstance(given, str):
        raise ConfigurationError(f'prefix is a path, as "/obs" is, not {prefix!r}')
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


def checked_runtime(runtime: Runtime) -> Runtime:
    """The same. Raises `ConfigurationError` for what is none, as a storage."""
    given: object = runtime
    if isinstance(given, type) or not all(
        hasattr(given, name) for name in ("registry", "storage", "collect")
    ):
        raise ConfigurationError(
            f'a runtime is needed, such as EmbeddedRuntime(SQLiteStorage("obs.db")), not {given!r}'
        )
    return runtime
