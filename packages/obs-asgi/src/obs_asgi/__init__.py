"""obs_asgi: endpoints and request middleware for any ASGI application."""

from ._app import ObsApp
from ._middleware import ObsMiddleware

__all__ = ["ObsApp", "ObsMiddleware"]

__version__ = "0.1.0"
