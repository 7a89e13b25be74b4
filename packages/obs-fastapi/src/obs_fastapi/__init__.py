"""obs_fastapi: endpoints, request metrics, context and life of a FastAPI application, in one line."""

from ._observe import observe
from ._router import create_router

__all__ = ["create_router", "observe"]

__version__ = "0.1.0"
