import re
from pathlib import Path

import pytest

import obs_storage_sqlite

pytestmark = pytest.mark.unit


def test_no_statement_has_numbered_placeholders():
    """With a sequence they are an error since Python 3.14, and with a mapping they are not found."""
    sources = Path(obs_storage_sqlite.__file__).parent.glob("*.py")
    numbered = [source.name for source in sources if re.search(r"\?\d", source.read_text("utf-8"))]
    assert numbered == []
