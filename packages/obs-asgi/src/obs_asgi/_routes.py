"""Route templates of applications that route as Starlette does, FastAPI's among them.

By attributes alone, since neither is a dependency. A request's scope is changed in place on its way in, so
that the outermost middleware sees afterwards which route it took, after an exception too:

- `endpoint` is what answered; without it nothing matched. A mounted router that found nothing leaves itself.
- `route` is only the part below the last mount; Starlette before 1.0 does not tell it, nor FastAPI for `/docs`.
- FastAPI from 0.137 keeps the path of included routers in `scope["fastapi"]["effective_route_context"]`.
- Mounts leave nothing but the real path in `root_path`: it is matched against their patterns again.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any, Final

_MAX_CACHED: Final = 1024
_MOUNTED: Final = "/{path}"

Routes = Callable[[], Sequence[Any]]


class RouteTemplates:
    """Gives the template of a request after the application ran; empty where none matched."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._prefixes: dict[tuple[str, int], tuple[Any, str]] = {}

    def __call__(self, scope: Any, root_path: str) -> str:
        """`root_path` is that of the scope before the application changed it."""
        get = scope.get
        endpoint = get("endpoint")
        if endpoint is None:
            return ""
        mounted = get("root_path", "")
        # Where the application itself set a root path before its first mount, that one counts.
        mounted = (
            mounted[max(len(root_path), len(get("app_root_path", ""))) :] if mounted != root_path else ""
        )
        fastapi = get("fastapi")
        if fastapi is not None:
            context = fastapi.get("effective_route_context")
            if context is not None and getattr(context, "endpoint", None) is endpoint:
                path: str = context.path_format
                return f"{self._prefix(mounted, context.original_route)}{path}" if mounted else path
        route = get("route")
        if route is not None and getattr(route, "endpoint", None) is endpoint:
            path = route.path_format
            return f"{self._prefix(mounted, route)}{path}" if mounted else path
        return self._searched(scope, mounted, endpoint)

    def among(self, paths: Container[str]) -> list[str]:
        """The templates that are among these paths."""
        return sorted({template for template in _templates(self._routes()) if template in paths})

    def _prefix(self, mounted: str, route: Any) -> str:
        """The template of the mounts above a route, from a cache since real paths have no end."""
        key = (mounted, id(route))
        known = self._prefixes.get(key)
        if known is not None and known[0] is route:
            return known[1]
        chains = list(_chains(self._routes(), mounted))
        # The same path may lead through several mounts, by host as an example: the one that has the route.
        prefix = next(
            (prefix for prefix, level, _ in chains if any(one is route for one, _ in _flat(level))),
            chains[0][0] if chains else "",
        )
        if len(self._prefixes) >= _MAX_CACHED:
            self._prefixes.clear()
        self._prefixes[key] = (route, prefix)
        return prefix

    def _searched(self, scope: Any, mounted: str, endpoint: Any) -> str:
        """The template of what answered, looked for among all routes that lead there."""
        below = scope["path"][len(scope.get("root_path", "")) :]
        for prefix, level, mount in _chains(self._routes(), mounted):
            if mount is not None and mount.app is endpoint:
                return "" if mount.routes else prefix or _MOUNTED
            for _, route in _flat(level):
                if getattr(route, "endpoint", None) is endpoint and route.path_regex.match(below):
                    return f"{prefix}{route.path_format}"
        return ""


def _templates(routes: Sequence[Any]) -> Iterator[str]:
    """The templates of these routes and of those in their mounts; a mount's own, where one cannot look into it."""
    for _, route in _flat(routes):
        path = getattr(route, "path_format", "")
        inner = () if hasattr(route, "endpoint") else getattr(route, "routes", None) or ()
        prefix = path.removesuffix(_MOUNTED)
        yield from (f"{prefix}{below}" for below in _templates(inner))
        if not inner and prefix:
            yield prefix


def _flat(routes: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Each route as the scope has it, and as it is matched: included routers of FastAPI are lazy."""
    for route in routes:
        contexts = getattr(route, "effective_route_contexts", None)
        if contexts is None:
            yield route, route
            continue
        for context in contexts():
            yield context.original_route, getattr(context, "starlette_route", None) or context


def _chains(routes: Sequence[Any], mounted: str) -> Iterator[tuple[str, Sequence[Any], Any]]:
    """Every way to spend a path on mounts: their template, the routes below, and the last mount."""
    if not mounted:
        yield "", routes, None
    for _, route in _flat(routes):
        if hasattr(route, "host_regex"):
            yield from _chains(route.routes, mounted)
        elif hasattr(route, "path_regex") and not hasattr(route, "endpoint"):
            match = route.path_regex.match(f"{mounted}/")
            if match is None:
                continue
            prefix, left = route.path_format.removesuffix(_MOUNTED), match["path"].rstrip("/")
            for inner, level, mount in _chains(route.routes, f"/{left}" if left else ""):
                yield f"{prefix}{inner}", level, mount or route
