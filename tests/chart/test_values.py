"""The values: every setting is among them, and a mistake is told."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from helm import generate
from helm.generate import CHART
from hypha_cluster.config import Config
from hypha_cluster.features.built_in import BUILT_IN
from hypha_cluster.hub_settings import HubSettings, all_settings
from hypha_cluster.settings import Setting, read_environment
from tests.chart.rendering import VARIANTS, Values, chart, environment, refusal, render, variant

ROOT = Path(__file__).parents[2]

# What the chart puts elsewhere: into a Secret, or in another variable's place.
SECRET = {"jwt_secret", "redis_url"}


def other_value(about: Setting) -> str | int | float | bool:
    """Return a value that is not the default of a setting."""
    if isinstance(about.default, bool):
        return not about.default
    if about.choices:
        return about.choices[-1]
    if isinstance(about.default, str):
        return {"redis_url": "redis://redis.example", "base_path": "/hub"}.get(about.name, "other")
    assert about.within
    return min(about.default + (1_048_577 if about.unit else 1), int(about.within[1]))


@pytest.mark.parametrize("path", generate.pages(), ids=lambda path: path.name)
def test_a_generated_file_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generate.pages()[path], "run `make format`"


def test_every_setting_is_a_value_and_no_other_name_is() -> None:
    names = {about.name for about in all_settings(BUILT_IN)}

    assert set(generate.schema()["properties"]["settings"]["properties"]) == names


@pytest.mark.parametrize("about", all_settings(BUILT_IN), ids=lambda about: about.name)
def test_every_setting_reaches_the_gateways(about: Setting) -> None:
    value = other_value(about)
    values: Values = {"replicaCount": 1, "settings": {about.name: value}}
    values |= {"redis": {"bundled": {"enabled": False}}}

    env = environment(values)

    if about.name in SECRET:
        assert env[about.env]["secretKeyRef"]["key"] == about.name.replace("_", "-")
        return
    texts = {name: text for name, text in env.items() if name.startswith("HYPHA_")}
    texts = {name: text for name, text in texts.items() if isinstance(text, str)}
    assert read_environment(all_settings(BUILT_IN), texts)[about.name] == value


@pytest.mark.parametrize("name", VARIANTS)
def test_the_hub_takes_what_it_is_given(name: str) -> None:
    env = {**environment(variant(name)), "REDIS_ADDRESS": "redis://redis.example"}
    texts = {name: text if isinstance(text, str) else "secret" for name, text in env.items()}
    if not isinstance(env.get("HYPHA_REDIS_URL", ""), str):
        texts["HYPHA_REDIS_URL"] = texts["REDIS_ADDRESS"]

    expanded = {n: re.sub(r"\$\((\w+)\)", lambda m: texts[m[1]], t) for n, t in texts.items()}

    assert HubSettings.load((), expanded).node.jwt_secret == "secret"


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"replicas": 3}, "'replicas' not allowed"),
        ({"settings": {"drain_tiem": 3}}, "'drain_tiem' not allowed"),
        ({"settings": {"drain_time": "3 parsec"}}, "drain_time"),
        ({"settings": {"drain_time": -1}}, "drain_time"),
        ({"settings": {"log_level": "loud"}}, "log_level"),
        ({"settings": {"fast_websockets": "yes"}}, "fast_websockets"),
        ({"settings": {"redis_url": "http://redis"}}, "redis_url"),
        ({"settings": {"base_path": "hypha"}}, "base_path"),
        ({"settings": {"port": 0}}, "port"),
        ({"settings": {"workers": 10_000}}, "workers"),
        ({"settings": {"ping_interval": 0}}, "ping_interval"),
        ({"service": {"type": "ExternalName"}}, "service/type"),
        ({"ingress": {"controller": "caddy"}}, "ingress/controller"),
        ({"redis": {"bundled": {"persistence": {"sise": "1Gi"}}}}, "'sise' not allowed"),
        ({"podLabels": {"number": 1}}, "podLabels/number"),
        ({"podDisruptionBudget": {"minAvailable": "some"}}, "minAvailable"),
    ],
)
def test_a_mistake_is_told(values: Values, complaint: str) -> None:
    assert complaint in refusal(values)


@pytest.mark.parametrize("value", ["250ms", "20s", "1.5 h", 20, 0.25])
def test_times_may_be_written_as_for_the_hub(value: Any) -> None:
    env = environment({"settings": {"call_timeout": value}})

    assert Config.load((), {"HYPHA_CALL_TIMEOUT": env["HYPHA_CALL_TIMEOUT"]}).call_timeout


def test_no_secret_is_shown_in_a_pod() -> None:
    assert {about.name for about in all_settings(BUILT_IN) if about.secret} <= SECRET


def test_every_value_is_used() -> None:
    templates = "".join(template["data"] for template in chart().templates)

    unused = [
        value.path
        for value in generate.values()
        if not re.search(rf"\.{value.path.rpartition('.')[2]}\b", templates)
        and not value.path.startswith("probes.")  # handed on as a whole
    ]
    assert unused == []


def test_defaults_pass_their_own_schema() -> None:
    chart().validate_schema(chart().values)


def test_the_chart_is_made_for_this_version_of_the_hub() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert chart().metadata["appVersion"] == project["version"]


def test_the_examples_of_the_readme_are_rendered() -> None:
    text = (CHART / "README.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)

    for example in examples:
        assert render(yaml.safe_load(example))
    assert examples
