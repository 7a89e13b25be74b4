import pickle
import subprocess
import sys
import traceback
from pathlib import Path

import msgspec
import pytest

import obs_core
from obs_core import (
    LEVELS,
    LogEntry,
    LogQuery,
    MetricQuery,
    MetricSample,
    QueryError,
    StorageError,
    level_of_number,
    parse_level,
)
from obs_core._queries import attribute_text

pytestmark = pytest.mark.unit


def test_records_are_frozen():
    entry = LogEntry(1.0, "INFO", "paid")
    with pytest.raises(AttributeError):
        entry.message = "changed"
    with pytest.raises(AttributeError):
        MetricSample("a", 1.0, 1.0).value = 2.0


def test_records_do_not_share_their_defaults():
    assert LogEntry(1.0, "INFO", "a").attributes is not LogEntry(1.0, "INFO", "b").attributes


def test_records_survive_an_encoding():
    entry = LogEntry(1.5, "INFO", "paid", {"order": 7}, "shop", "a" * 32, "b" * 16)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(entry), type=LogEntry) == entry


@pytest.mark.parametrize(
    ("name", "level"),
    [("warn", "WARNING"), ("FATAL", "CRITICAL"), ("info", "INFO"), ("LOUD", None), ("", None)],
)
def test_level_names_have_aliases_and_any_case(name, level):
    assert parse_level(name) == level


@pytest.mark.parametrize(
    ("number", "level"),
    [(0, "TRACE"), (9, "TRACE"), (10, "DEBUG"), (25, "INFO"), (39, "WARNING"), (99, "CRITICAL")],
)
def test_numbers_of_logging_are_mapped_down(number, level):
    assert level_of_number(number) == level


def test_levels_from_one_are_it_and_the_worse_ones():
    assert obs_core.levels_from("ERROR") == ("ERROR", "CRITICAL")
    assert obs_core.levels_from("TRACE") == LEVELS


@pytest.mark.parametrize(
    ("query", "parameter"),
    [({"level": "LOUD"}, "level"), ({"limit": 0}, "limit"), ({"order": "up"}, "order")],
)
def test_a_query_that_cannot_be_is_refused_by_name(query, parameter):
    with pytest.raises(QueryError) as caught:
        LogQuery(**query)
    assert caught.value.parameter == parameter


def test_a_metric_query_has_a_limit_above_zero():
    with pytest.raises(QueryError, match="at least 1"):
        MetricQuery(limit=0)


@pytest.mark.parametrize(
    ("value", "text"), [("a", "a"), (7, "7"), (True, "true"), (None, "null"), ([1, "a"], '[1,"a"]')]
)
def test_attributes_are_compared_with_their_json(value, text):
    assert attribute_text(value) == text


def test_every_public_name_is_there_and_sorted():
    assert obs_core.__all__ == sorted(obs_core.__all__, key=lambda name: (not name.isupper(), name))
    assert all(hasattr(obs_core, name) for name in obs_core.__all__)
    public = {name for name in vars(obs_core) if not name.startswith("_")}
    modules = {path.stem for path in Path(obs_core.__file__).parent.iterdir() if path.stem[0] != "_"}
    assert public - set(obs_core.__all__) <= modules


def test_the_error_tree_has_one_root():
    assert issubclass(StorageError, obs_core.ObsError)
    assert issubclass(obs_core.DeclarationError, ValueError)


@pytest.mark.parametrize("name", [name for name in obs_core.__all__ if name.endswith("Error")])
def test_an_error_is_shown_under_the_name_that_it_is_imported_by(name):
    kind = getattr(obs_core, name)
    assert f"{kind.__module__}.{kind.__qualname__}" == f"obs_core.{name}"
    error = kind("after", "no cursor") if kind is QueryError else kind("x")
    assert pickle.loads(pickle.dumps(kind)) is kind
    assert "".join(traceback.format_exception_only(error)).startswith(f"obs_core.{name}: ")


def test_importing_it_brings_neither_asyncio_nor_a_framework():
    code = (
        "import sys, msgspec, logging; before = set(sys.modules); import obs_core, obs_core.encoders;"
        "print({'asyncio', 'inspect', 'dataclasses', 'pytest'} & (set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_importing_it_leaves_the_encoders_to_those_who_encode():
    code = (
        "import sys, obs_core; print([name for name in sys.modules if name.startswith('obs_core.encoders')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
