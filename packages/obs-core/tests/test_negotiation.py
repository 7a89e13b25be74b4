import pytest

from obs_core.http._negotiation import prefers_openmetrics

pytestmark = pytest.mark.unit

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    "header",
    [
        PROMETHEUS_3,
        "application/openmetrics-text",
        "Application/OpenMetrics-Text; Version=1.0.0; charset=utf-8",
        'application/openmetrics-text; version="1.0.0"; q=0.5, text/plain; q=0.4',
        "application/openmetrics-text; q=0.001",
        "text/*; q=0.1, application/*; q=0.2",
        "*/*, text/plain; q=0.5",
        "text/plain; version=1.0.0, application/openmetrics-text; q=0.1",
        'text/plain; q=0.1; note="a,b", application/openmetrics-text; q=0.2',
    ],
)
def test_openmetrics_is_sent_where_it_is_liked_better(header):
    assert prefers_openmetrics(header)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "*/*",
        "text/html, */*; q=0.8",
        "text/plain; version=0.0.4",
        "text/plain, application/openmetrics-text",
        "application/openmetrics-text; version=0.0.1",
        "application/openmetrics-text; version=2.0.0",
        "application/openmetrics-text; q=0, */*",
        "application/openmetrics-text; q=0.3, text/plain; q=0.4",
        "application/openmetrics-text; q=high",
        "application/openmetrics-text; q=nan",
        "application/*; q=0.1, application/openmetrics-text; q=0.0, */*; q=0.5",
        "image/png",
        ";;;,,,=;/",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    ],
)
def test_all_else_gets_the_older_text(header):
    assert not prefers_openmetrics(header)


def test_what_comes_after_a_kilobyte_is_not_looked_at():
    assert not prefers_openmetrics("a/b," * 300 + "application/openmetrics-text")
    assert not prefers_openmetrics('"' * 60_000)
