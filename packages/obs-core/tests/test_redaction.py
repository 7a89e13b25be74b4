import pytest

from obs_core import ConfigurationError, LogEntry
from obs_core._redaction import redactor

pytestmark = pytest.mark.unit


def test_text_in_place_of_a_list_of_names_is_refused():
    with pytest.raises(ConfigurationError, match=r"a list of names: \['iban'\]"):
        redactor("iban")


def redacted(message="", **attributes):
    entry = redactor()(LogEntry(1.0, "INFO", message, attributes))
    return entry.message, entry.attributes


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "PASSWORD",
        "db_password",
        "dbPassword",
        "user.pwd",
        "api_key",
        "apiKey",
        "X-Api-Key",
        "Set-Cookie",
        "token",
        "session",
        "Authorization",
        "csrf_token",
        "password1",
        "new_password2",
        "accesstoken",
        "passphrase",
        "private_key",
        "jwt",
    ],
)
def test_names_of_secrets_are_known_in_every_spelling(name):
    assert redacted(**{name: "x"})[1] == {name: "***"}


@pytest.mark.parametrize("name", ["tokenizer", "cookiecutter", "passwordless", "sessions_total", "keyboard"])
def test_names_that_only_look_alike_are_left_alone(name):
    assert redacted(**{name: "x"})[1] == {name: "x"}


def test_secrets_are_found_at_any_depth():
    assert redacted(a=[{"b": {"token": "x"}}])[1] == {"a": [{"b": {"token": "***"}}]}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Bearer abc.def-123", "Bearer ***"),
        ("basic dXNlcjpwdw==", "basic ***"),
        ("postgres://user:pw@host/db", "postgres://user:***@host/db"),
        ("postgres://user:p@ss@host/db", "postgres://user:***@host/db"),
        ("https://host:80/path", "https://host:80/path"),
        ("the bearer of news", "the bearer of news"),
    ],
)
def test_secrets_in_text_are_replaced(text, shown):
    assert redacted(text, text=text) == (shown, {"text": shown})


def test_an_entry_without_secrets_is_passed_on_as_it_is():
    entry = LogEntry(1.0, "INFO", "paid", {"order": 7})
    assert redactor()(entry) is entry


def test_the_names_are_an_option():
    entry = redactor(["iban"])(LogEntry(1.0, "INFO", "", {"iban": "x", "password": "y"}))
    assert entry.attributes == {"iban": "***", "password": "y"}


def test_headers_as_pairs_are_known_too():
    assert redacted(headers=[["cookie", "sid=1"], ["host", "a"]])[1] == {
        "headers": [["cookie", "***"], ["host", "a"]]
    }
