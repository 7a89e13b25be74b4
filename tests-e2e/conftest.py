import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("harness", "faults")

from harness.starting import Starter  # noqa: E402


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is entered here is left when the test ends."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def start(stack, tmp_path) -> Starter:
    return Starter(stack, tmp_path)
