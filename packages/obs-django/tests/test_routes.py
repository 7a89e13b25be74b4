import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obs_django._routes import template

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("", "/"),
        ("orders/<int:order_id>/", "/orders/<int:order_id>/"),
        ("/slash/first", "/slash/first"),
        ("price.json", "/price.json"),
        (r"^articles/(?P<year>[0-9]{4})/$", "/articles/<year>/"),
        (r"^articles/(?P<year>[0-9]{4})/(?P<slug>[\w-]+)/?\Z", "/articles/<year>/<slug>/"),
        (r"^files/(\d+)/(.*)$", "/files/<var>/<var>"),
        (r"^files/\d+/[a-z]+\.json$", "/files/<var>/<var>.json"),
        (r"^(?P<path>(?:[^/]+/)*(?P<name>\w+))$", "/<path>"),
        (r"^(?:page-(?P<page>\d+)/)?$", "/page-<page>/"),
        (r"^(?:en|de)/shop/(?i:now)$", "/<var>/shop/now"),
        (r"^(?!admin)(?P<slug>[]a)(]+)/(?#a comment)$", "/<slug>/"),
        (r"a/$|^b/$", "/a/|b/"),
        (r"shop/<slug:tenant>/old/(?P<year>[0-9]{4})/$", "/shop/<slug:tenant>/old/<year>/"),
        (r"^api/v(?P<version>(v1|v2))/$", "/api/v<version>/"),
        ("orders/<int:order_id>/(", "/orders/<int:order_id>/"),
    ],
)
def test_a_route_is_shown_as_people_write_it(route, expected):
    assert template(route) == expected


@settings(deadline=None)  # machines are noisy
@given(
    st.one_of(
        st.text(), st.from_regex(r"(\^|\(\?P<a>|\(\?:|\(|\)|\[|\]|\\d|\+|a|/|\$|\||\{2\})*", fullmatch=True)
    )
)
def test_whatever_a_route_is_its_template_is_text_that_begins_with_a_slash(route):
    found = template(route)
    assert found.startswith("/")
    if re.fullmatch(r"[\w/<>:.-]*", route):
        assert found == "/" + route.removeprefix("/")
