import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("harness")

from harness.starting import Starter  # noqa: E402


@pytest.fixture
def start(tmp_path) -> Iterator[Starter]:
    with ExitStack() as stack:
        yield Starter(stack, tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Iterator[Starter]:
    """For tests that only look: they share their servers."""
    with ExitStack() as stack:
        yield Starter(stack, tmp_path_factory.mktemp("shared"))
