import logging

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client, override_settings

from obs_django._service import current_service
from obs_django.checks import check_middleware, check_setting

pytestmark = pytest.mark.unit
GOOD = {"RUNTIME": "shop.obs.runtime", "TOKEN": "sesame"}
OURS = "obs_django.middleware.ObsMiddleware"


@pytest.fixture(autouse=True)
def fresh():
    current_service.cache_clear()
    yield
    current_service.cache_clear()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, 'OBS is missing: it names the RUNTIME, as "shop.obs.runtime" does'),
        ("shop.obs.runtime", "OBS must be a dictionary"),
        ({}, "no registry"),
        ({**GOOD, "RUNTIME": ""}, 'OBS["RUNTIME"] must name a runtime'),
        ({**GOOD, "RUNTIME": "shop.obs.storage"}, "'shop.obs.storage' has no registry"),
        ({**GOOD, "RUNTIME": "shop.nowhere.runtime"}, "No module named 'shop.nowhere'"),
        ({**GOOD, "RUNTIME": "shop.obs.none"}, 'does not define a "none" attribute'),
        ({**GOOD, "RUNTIME": "runtime"}, "runtime doesn't look like a module path"),
        ({**GOOD, "TOKENS": "x", "Access": 1}, "unknown keys 'TOKENS', 'Access': use RUNTIME, TOKEN, ACCESS"),
        ({**GOOD, "TOKEN": 7}, 'OBS["TOKEN"] must be text'),
        ({**GOOD, "TOKEN": ["a", 7]}, 'OBS["TOKEN"] must be text'),
        ({**GOOD, "TOKEN": "two words"}, "a token is text without blanks"),
        ({**GOOD, "TOKEN": []}, "has no token in it"),
        ({**GOOD, "ACCESS": "lopback"}, 'OBS["ACCESS"] must be "token", "loopback", "open"'),
        ({**GOOD, "METRICS_ACCESS": None}, 'OBS["METRICS_ACCESS"] must be'),
        ({**GOOD, "ACCESS": "shop.obs.nobody"}, "OBS[\"ACCESS\"] is 'shop.obs.nobody'"),
        ({**GOOD, "ACCESS": lambda: True}, 'OBS["ACCESS"] is called with the request'),
        ({**GOOD, "EXCLUDE": "/healthz"}, 'OBS["EXCLUDE"] must be a list of paths'),
        ({**GOOD, "EXCLUDE": ["healthz"]}, 'OBS["EXCLUDE"] must be a list of paths'),
        ({**GOOD, "SIZES": "yes"}, 'OBS["SIZES"] must be True or False'),
        ({**GOOD, "SERVER_LOGS": 1}, 'OBS["SERVER_LOGS"] must be True or False'),
        ({**GOOD, "STREAM_LIFE": "5m"}, 'OBS["STREAM_LIFE"] must be a number of seconds above 0'),
        ({**GOOD, "STREAM_LIFE": 0}, 'OBS["STREAM_LIFE"] must be a number of seconds above 0'),
        ({"RUNTIME": "shop.obs.runtime"}, "no folder to keep a token in"),
    ],
)
def test_a_bad_setting_is_an_error_of_the_system_checks_and_at_start(value, said):
    with override_settings(OBS=value):
        (error,) = check_setting()
        assert (error.id, error.is_serious()) == ("obs_django.E001", True)
        assert said in error.msg
        assert (error.hint is not None) == ("RUNTIME" in error.msg)
        with pytest.raises(ImproperlyConfigured) as caught:
            WSGIHandler()
        assert said in str(caught.value)


def test_without_the_setting_the_error_says_what_to_set():
    with override_settings():
        from django.conf import settings

        del settings.OBS
        (error,) = check_setting()
    assert "OBS is missing" in error.msg
    assert error.hint == 'As in OBS = {"RUNTIME": "shop.obs.runtime"}.'


@pytest.mark.parametrize(
    "value",
    [
        GOOD,
        {**GOOD, "TOKEN": ["old", "new"]},
        {**GOOD, "ACCESS": "shop.obs.let_in", "METRICS_ACCESS": "open"},
        {**GOOD, "ACCESS": lambda request: True},
        {**GOOD, "EXCLUDE": {"/healthz"}},
        {**GOOD, "SIZES": True, "SERVER_LOGS": False, "STREAM_LIFE": 60},
        {"RUNTIME": "shop.obs.runtime", "ACCESS": "loopback"},
    ],
)
def test_a_good_setting_has_nothing_to_be_said(value):
    with override_settings(OBS=value):
        assert [message for message in run_checks() if message.id.startswith("obs_django")] == []


@pytest.mark.parametrize(
    ("middleware", "expected"),
    [
        ([OURS, "django.middleware.common.CommonMiddleware"], []),
        (["django.middleware.common.CommonMiddleware", OURS], ["obs_django.W002"]),
        (["django.middleware.common.CommonMiddleware"], ["obs_django.W001"]),
        ([OURS, "django.middleware.common.CommonMiddleware", OURS], ["obs_django.E002"]),
    ],
)
def test_the_place_of_the_middleware_is_checked(middleware, expected):
    with override_settings(MIDDLEWARE=middleware):
        assert [message.id for message in check_middleware()] == expected


def test_a_middleware_that_stands_there_twice_is_refused_at_the_start():
    with (
        override_settings(OBS=GOOD, MIDDLEWARE=[OURS, OURS]),
        pytest.raises(ImproperlyConfigured, match="twice"),
    ):
        WSGIHandler()


def test_loading_the_project_and_its_checks_starts_nothing():
    from shop.obs import runtime

    run_checks()
    WSGIHandler()
    with override_settings(OBS=GOOD):
        assert runtime.handler not in logging.getLogger().handlers
        Client().get("/hello")
        assert runtime.handler in logging.getLogger().handlers
    runtime.stop()


def test_the_token_of_the_environment_lets_in(monkeypatch):
    monkeypatch.setenv("OBS_TOKEN", "outside")
    with override_settings(OBS={"RUNTIME": "shop.obs.runtime"}):
        assert check_setting() == []
        current_service().runtime.start()
        current_service().runtime.flush()
        for token, status in (("outside", 200), ("other", 401)):
            response = Client().get("/obs/metrics", headers={"authorization": f"Bearer {token}"})
            assert response.status_code == status
        current_service().runtime.stop()
