"""All that is below our prefix, and not `/metrics` or `/logs`."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from django.urls import ResolverMatch, URLPattern, URLResolver, get_resolver, get_urlconf
from django.urls.resolvers import RegexPattern


class Below(URLPattern):
    """Matches what is left; nothing where it is included without a prefix, since the rest is the project's own."""

    def __init__(self, view: Callable[..., Any]) -> None:
        super().__init__(RegexPattern(r"^[\s\S]*$", is_endpoint=True), view)

    def resolve(self, path: str) -> ResolverMatch | None:
        return super().resolve(path) if _has_prefix(get_resolver(get_urlconf())) else None


@lru_cache(maxsize=16)
def _has_prefix(root: URLResolver) -> bool:
    """Whether it is included, and nowhere without a prefix."""
    found = list(_prefixed(root, below=False))
    return bool(found) and all(found)


def _prefixed(resolver: URLResolver, *, below: bool) -> Iterator[bool]:
    """For each place where it is included whether something stands before it in the path."""
    for one in resolver.url_patterns:
        if isinstance(one, Below):
            yield below
        elif isinstance(one, URLResolver):
            # A language may be left out of the path.
            named = isinstance(one.pattern, RegexPattern) or hasattr(one.pattern, "_route")
            yield from _prefixed(one, below=below or (named and str(one.pattern).strip("^") != ""))
