import pickle

import pytest

import obs_core

pytestmark = pytest.mark.unit
ERRORS = [
    obs_core.ObsError("wrong"),
    obs_core.DeclarationError("wrong"),
    obs_core.ConfigurationError("wrong"),
    obs_core.QueryError("limit", "wrong"),
    obs_core.CursorExpiredError(),
    obs_core.CursorExpiredError("since"),
    obs_core.StorageError("wrong"),
    obs_core.StorageClosedError("MemoryStorage"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_crosses_processes(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert getattr(copy, "parameter", "") == getattr(error, "parameter", "")
