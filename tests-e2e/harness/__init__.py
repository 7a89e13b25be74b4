"""What the end-to-end tests share: real servers, a real Prometheus, and readers of what they serve."""

from .client import CLIENT
from .examples import Example
from .load import Load, Scraper
from .page import Page, metrics_of
from .places import APPLICATIONS, EXAMPLES, TOP, environment, free_port
from .prometheus import Prometheus, promtool_check
from .server import Server, ServerFailedError
from .service import Service
from .waiting import until

__all__ = [
    "APPLICATIONS",
    "CLIENT",
    "EXAMPLES",
    "TOP",
    "Example",
    "Load",
    "Page",
    "Prometheus",
    "Scraper",
    "Server",
    "ServerFailedError",
    "Service",
    "environment",
    "free_port",
    "metrics_of",
    "promtool_check",
    "until",
]
