"""The page of promises: each line has a test, and each test that it names is there."""

import re

import pytest

from harness import TOP

pytestmark = pytest.mark.e2e
PAGE = TOP / "packages" / "obs-runtime" / "docs" / "promises.md"
LINES = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
PROMISES = [line for line in LINES if not line.startswith(("| --- ", "| promised ", "| not promised "))]
NAMED = re.findall(r"`([\w./-]+\.py)::(\w+)`", PAGE.read_text())


def test_every_line_names_a_test():
    assert len(PROMISES) > 30
    assert [line for line in PROMISES if "::test_" not in line] == []
    assert len(NAMED) == PAGE.read_text().count("::")


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED)), ids=lambda part: part.rpartition("/")[2])
def test_a_test_that_is_named_exists(path, name):
    assert re.search(rf"(?m)^(async )?def {name}\(", (TOP / path).read_text())
