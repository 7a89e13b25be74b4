"""obs_asgi: endpoints and request middleware for any ASGI application."""

from ._app import ObsApp
from ._middleware import ObsMiddleware
from ._routes import RouteTemplates

__all__ = ["ObsApp", "ObsMiddleware", "RouteTemplates"]

__version__ = "0.1.0"
