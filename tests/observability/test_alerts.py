"""The configuration and the alerts of Prometheus, as its own promtool judges them."""

import re
from pathlib import Path

import pytest

from tests.observability.board import known_metrics, metrics_in
from tests.prometheus import FOLDER, promtool

ALERTS = (FOLDER / "alerts.yml").read_text(encoding="utf-8")
CASES = (FOLDER / "alerts_test.yml").read_text(encoding="utf-8")
NAMES = re.findall(r"- alert: (\w+)", ALERTS)


@pytest.mark.usefixtures("prometheus_installed")
def test_promtool_finds_no_fault() -> None:
    assert "is valid" in promtool("check", "config", FOLDER / "prometheus.yml")
    assert f"{len(NAMES)} rules found" in promtool("check", "rules", FOLDER / "alerts.yml")


@pytest.mark.usefixtures("prometheus_installed")
def test_each_alert_fires_when_it_should_and_not_before() -> None:
    promtool("test", "rules", FOLDER / "alerts_test.yml")


@pytest.mark.usefixtures("prometheus_installed")
@pytest.mark.parametrize("name", NAMES)
def test_an_alert_that_does_not_fire_is_noticed(name: str, tmp_path: Path) -> None:
    rule = re.compile(rf"(- alert: {name}\n\s+expr: )(?:>-\n(?:\s+[^\n]+\n)+?|[^\n]+\n)(\s+for:)")
    never, changed = rule.subn(r"\1vector(1) > 2\n\2", ALERTS)
    (tmp_path / "alerts.yml").write_text(never, encoding="utf-8")
    (tmp_path / "alerts_test.yml").write_text(CASES, encoding="utf-8")

    assert changed == 1
    with pytest.raises(AssertionError, match=name):
        promtool("test", "rules", tmp_path / "alerts_test.yml")


def test_each_alert_says_what_to_do() -> None:
    for words in ("summary:", "description:", "runbook:", "severity:"):
        assert ALERTS.count(words) == len(NAMES)


def test_alerts_ask_for_metrics_that_exist() -> None:
    rules = re.findall(r"expr: (.*?)\n\s+for:", ALERTS, re.DOTALL)

    assert len(rules) == len(NAMES)
    for rule in rules:
        assert metrics_in(rule) <= known_metrics(), rule
