"""The conformance suites: a storage's test file is a fixture and a line for each of them."""

import pytest

pytest.register_assert_rewrite(
    "obs_core.testing._logs",
    "obs_core.testing._metrics",
    "obs_core.testing._durable",
    "obs_core.testing._workers",
)

from ._durable import DurableConformance  # noqa: E402  # asserts are rewritten first
from ._logs import LogStorageConformance  # noqa: E402
from ._metrics import MetricsStorageConformance  # noqa: E402
from ._workers import BoardUnderTest, WorkersConformance  # noqa: E402

__all__ = [
    "BoardUnderTest",
    "DurableConformance",
    "LogStorageConformance",
    "MetricsStorageConformance",
    "WorkersConformance",
]
