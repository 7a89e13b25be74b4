"""The alert file that is shipped: right for promtool, and for a real Prometheus that scrapes a service in trouble."""

import re
import shutil

import pytest

from harness import APPLICATIONS, EXAMPLES, until
from harness.prometheus import promtool

pytestmark = pytest.mark.e2e
FOLDER = EXAMPLES / "prometheus"
RULES = FOLDER / "obs-alerts.yml"
NAMES = re.findall(r"alert: (\w+)", RULES.read_text())
COMMAND = "uvicorn troubled:app --port {port} --log-level warning"
# What a service says that is in trouble as below; the others need hours, or that nobody answers.
AT_ONCE = {
    *(
        "ObsStorageDegraded",
        "ObsStorageErrors",
        "ObsSeriesDropped",
        "ObsLabelValuesCut",
        "ObsMetricConflicts",
        "ObsValuesIgnored",
        "ObsGaugeFunctionFails",
    ),
}


def test_promtool_takes_the_rules_and_what_they_are_to_do():
    assert promtool("check", "rules", str(RULES)) == (
        0,
        f"Checking {RULES}\n  SUCCESS: {len(NAMES)} rules found\n\n",
    )
    status, said = promtool("test", "rules", str(FOLDER / "obs-alerts.test.yml"))
    assert (status, "SUCCESS" in said) == (0, True), said


def test_each_alert_has_a_test_and_says_what_to_do():
    tests = (FOLDER / "obs-alerts.test.yml").read_text()
    assert [name for name in NAMES if name not in tests] == []
    text = RULES.read_text()
    for word in ("severity", "summary", "description"):
        assert len(re.findall(rf"(?m)^ +{word}: ", text)) == len(NAMES)


def test_promtool_takes_the_configuration_beside_it(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "prometheus")
    (tmp_path / "prometheus" / "token").write_text("secret")
    status, said = promtool("check", "config", str(tmp_path / "prometheus" / "prometheus.yml"))
    assert (status, f"{len(NAMES)} rules found" in said) == (0, True), said


def test_a_real_prometheus_tells_of_a_service_in_trouble_and_knows_every_metric_that_is_named(start):
    (start.data / "obs.db").mkdir(parents=True)  # nothing can be stored
    old = start.command(COMMAND, cwd=APPLICATIONS, E2E_RELEASE="old")
    assert old.get("/flood").status_code == 200
    new = start.command(COMMAND, cwd=APPLICATIONS, E2E_RELEASE="new")
    assert new.get("/flood").status_code == 200
    until(lambda: new.metrics().total("obs_metric_conflicts_total") >= 1, "the releases disagree")
    until(lambda: new.metrics().total("obs_storage_degraded") == 1, "nothing can be stored")

    named = set(re.findall(r"\bobs_\w+(?=[\s{\[)])", "\n".join(expressions())))
    shown = {key.partition("{")[0] for key in new.metrics().samples}
    assert len(named) > 8
    assert named <= shown

    prometheus = start.prometheus(new, RULES)

    def told() -> set[str]:
        return {rule["name"] for rule in prometheus.rules() if rule["state"] in ("pending", "firing")}

    until(lambda: told() >= AT_ONCE, f"{AT_ONCE} are told", 30, 0.2)
    rules = prometheus.rules()
    assert [rule["name"] for rule in rules] == NAMES
    assert {(rule["health"], rule.get("lastError")) for rule in rules} == {("ok", None)}
    assert told() - {"ObsScrapeFails"} == AT_ONCE, "on a busy machine a scrape may take too long"


def expressions() -> list[str]:
    """What is between `expr:` and the next key of each rule."""
    return re.findall(r"(?s)expr:(.*?)\n +(?:for|labels):", RULES.read_text())
