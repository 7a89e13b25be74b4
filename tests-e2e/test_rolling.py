"""A rolling restart: two releases of a service on one database at once, which disagree about their metrics."""

import pytest

from harness import APPLICATIONS, Load, Scraper, until

pytestmark = pytest.mark.e2e
# What the releases disagree about: the old kind goes, and so does the bound that one of them lacks.
GOES = ("kind_total", 'sized_bucket{le="2.0"}')
COMMAND = "uvicorn released:app --workers 2 --port {port} --log-level warning"


def release(start, which):
    return start.command(COMMAND, cwd=APPLICATIONS, E2E_RELEASE=which)


def test_two_releases_at_once_agree_on_what_they_share_and_no_total_falls(start):
    old = release(start, "old")
    assert old.get("/place/0").status_code == 200
    with Scraper(old, ignore=GOES) as before:
        first = Load(old, 300).finish()
        new = release(start, "new")
        with Scraper(new, ignore=GOES) as after:
            second = Load(new, 300).finish()
            third = Load(old, 100).finish()
            placed = 1 + sum(len(sent.answered) for sent in (first, second, third))
            counted = lambda: new.metrics().total("same_total") == placed  # noqa: E731
            until(counted, "both releases are counted", 10)
            old.server.stop()
            until(counted, "and are when the old one is folded", 10)
    assert first.failed + second.failed + third.failed == 0
    assert (before.fell, after.fell) == ([], [])

    page = new.metrics()
    assert page.total("helped_total") == placed
    assert page.total("labelled_total", plan="pro") == placed
    assert page.total("labelled_total", region="eu") == len(second.answered)
    assert page.total("sized_count") == placed
    bounds = set(page.values("sized_bucket", "le"))
    assert bounds == {"1.0", "4.0", "+Inf"}, "histograms are summed over the bounds that both have"
    assert page.total("obs_metric_conflicts_total", metric="kind") >= 1
    text = new.exposition()
    assert "# HELP helped_total Said better now.\n" in text
    assert "# TYPE kind gauge\n" in text, "of two kinds the newest start wins"
