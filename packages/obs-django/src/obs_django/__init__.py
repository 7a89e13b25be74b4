"""obs_django: endpoints, request metrics and context for Django, by one setting, under WSGI and ASGI."""

__all__: list[str] = []

__version__ = "0.1.0"
