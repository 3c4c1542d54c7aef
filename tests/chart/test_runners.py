"""Runners of server apps: what they are told and given, whom they reach, and how many there are."""

import re
import shlex
from typing import Any

import pytest
import yaml

from helm.generate import CHART
from hypha_cluster.features.launcher.terms import LauncherSettings
from hypha_cluster.prometheus import METRICS
from tests.chart.rendering import (
    NAME,
    Object,
    Values,
    container,
    files,
    objects,
    one,
    refusal,
    render,
    variant,
)

RUNNER = f"{NAME}-runner"
ON: Values = {"runners": {"enabled": True}}


def told(values: Values, name: str = RUNNER) -> dict[str, Any]:
    """The variables of the runners: a text, or where it comes from."""
    env = container(one(render(values), "Deployment", name))["env"]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in env}


def policy(values: Values, name: str = RUNNER) -> Object:
    spec: Object = one(render(values), "NetworkPolicy", name)["spec"]
    return spec


def test_there_are_none_unless_they_are_wanted() -> None:
    assert RUNNER not in str(list(objects(files({}))))
    assert "HYPHA_ENABLE_SERVER_APPS" not in told({}, NAME)


def test_gateways_leave_apps_to_the_runners() -> None:
    gateway = told({**ON, "settings": {"enable_server_apps": False, "app_runners": "beside"}}, NAME)

    assert gateway["HYPHA_ENABLE_SERVER_APPS"] == "true"
    assert gateway["HYPHA_APP_RUNNERS"] == "elsewhere"


def test_a_runner_is_told_what_it_needs_and_no_secret_but_that_of_redis() -> None:
    runner = told(variant("runners"))

    assert runner["HYPHA_APP_HUB_URL"] == f"http://{NAME}.prod:9000"
    assert runner["HYPHA_APP_SLOTS"] == "4"
    assert runner["HYPHA_APP_PAGE_MEMORY"] == "256"
    assert runner["HYPHA_APP_NETWORK"] == "hub"
    assert runner["HYPHA_LOG_FORMAT"] == "json"
    secret = runner.pop("REDIS_ADDRESS")
    assert secret == {"secretKeyRef": {"name": "redis-for-runners", "key": "redis-url"}}
    assert runner["HYPHA_REDIS_URL"] == "$(REDIS_ADDRESS)"
    assert not any(isinstance(each, dict) for each in runner.values())
    assert "HYPHA_JWT_SECRET" not in told(ON)


def test_a_runner_is_a_user_of_the_bundled_redis_who_may_do_what_the_docs_say() -> None:
    values = {**ON, "settings": {"redis_prefix": "lab-2"}}
    rendered = render(values)
    (wait,) = one(rendered, "Deployment", RUNNER)["spec"]["template"]["spec"]["initContainers"]
    server = container(one(rendered, "StatefulSet"))
    password = {"secretKeyRef": {"name": RUNNER, "key": "redis-password"}}
    docs = (CHART.parents[1] / "docs" / "redis.md").read_text(encoding="utf-8")
    (rule,) = re.findall(r"^ACL SETUSER runner on >other (.*)$", docs, re.MULTILINE)

    assert (
        told(values)["HYPHA_REDIS_URL"] == f"redis://runner:$(REDIS_PASSWORD)@{NAME}-redis:6379/0"
    )
    for env in (wait["env"], container(one(rendered, "Deployment", RUNNER))["env"]):
        secrets = [entry["valueFrom"] for entry in env if "valueFrom" in entry]
        assert secrets == [password]
    assert {"name": "RUNNER_PASSWORD", "valueFrom": password} in server["env"]
    words = shlex.split(server["args"][-1])
    user = words[words.index("--user") :]
    assert user == [
        "--user",
        "runner",
        "on",
        ">$RUNNER_PASSWORD",
        *rule.replace("hypha:", "lab-2:").split(),
    ]
    assert [*one(rendered, "Secret", RUNNER)["data"]] == ["redis-password"]
    assert "--user" not in str(one(render({}), "StatefulSet"))


def test_a_runner_reaches_ones_own_redis_as_the_gateways_or_as_a_user_of_its_own() -> None:
    own = {**ON, "settings": {"redis_url": "redis://r"}, "redis": {"bundled": {"enabled": False}}}

    assert told(own)["HYPHA_REDIS_URL"] == told(own, NAME)["HYPHA_REDIS_URL"]
    assert "REDIS_ADDRESS" in told(variant("runners"))
    assert RUNNER not in [
        thing["metadata"]["name"] for thing in render(own) if thing["kind"] == "Secret"
    ]


def test_a_runner_has_no_more_rights_than_a_gateway() -> None:
    rendered = render(ON)
    gateway, runner = (one(rendered, "Deployment", name) for name in (NAME, RUNNER))
    pods = [each["spec"]["template"]["spec"] for each in (gateway, runner)]

    assert pods[1]["securityContext"] == pods[0]["securityContext"]
    assert container(runner)["securityContext"] == container(gateway)["securityContext"]
    assert pods[1]["automountServiceAccountToken"] is False
    mounts = {mount["mountPath"] for mount in container(runner)["volumeMounts"]}
    assert mounts == {"/tmp", "/dev/shm"}


def test_a_runner_is_given_the_time_to_move_what_it_runs() -> None:
    pod = one(render(ON), "Deployment", RUNNER)["spec"]["template"]["spec"]

    assert pod["terminationGracePeriodSeconds"] >= LauncherSettings().app_drain_time + 20


def test_nobody_reaches_a_runner_and_it_reaches_no_private_network() -> None:
    spec = policy(ON)
    *_, internet = spec["egress"]

    assert (spec["policyTypes"], spec["ingress"]) == (["Ingress", "Egress"], [])
    assert "169.254.0.0/16" in internet["to"][0]["ipBlock"]["except"]
    assert "ipBlock" not in str(policy(variant("runners")))


def test_a_runner_is_let_in_by_gateways_and_redis() -> None:
    labels = one(render(ON), "Deployment", RUNNER)["spec"]["selector"]["matchLabels"]
    selector = {"podSelector": {"matchLabels": labels}}

    assert selector in policy(ON, f"{NAME}-redis")["ingress"][0]["from"]
    assert selector in policy(variant("runners"), NAME)["ingress"][0]["from"]


def test_as_many_runners_as_instances_that_wait_and_run_take() -> None:
    rendered = render(variant("runners"))
    spec = one(rendered, "HorizontalPodAutoscaler", RUNNER)["spec"]
    wanted = {
        each["external"]["metric"]["name"]: each["external"]["target"]["averageValue"]
        for each in spec["metrics"]
    }

    assert spec["scaleTargetRef"]["name"] == RUNNER
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 5)
    assert wanted == {"hypha_app_slots_wanted": "4"}
    assert "replicas" not in one(rendered, "Deployment", RUNNER)["spec"]
    assert one(render(ON), "Deployment", RUNNER)["spec"]["replicas"] == 2


def test_how_full_runners_are_to_be_can_be_said() -> None:
    scaling = {"enabled": True, "target": 3}
    values = {"runners": {"enabled": True, "autoscaling": scaling}}

    (metric,) = one(render(values), "HorizontalPodAutoscaler", RUNNER)["spec"]["metrics"]

    assert metric["external"]["target"] == {"type": "AverageValue", "averageValue": "3"}


def test_the_rule_for_the_adapter_offers_what_the_autoscaler_asks_for() -> None:
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```text\n(rules:\n.*?)^```", readme, re.MULTILINE | re.DOTALL)
    (rule,) = yaml.safe_load(text)["rules"]["external"]
    spec = one(render(variant("runners")), "HorizontalPodAutoscaler", RUNNER)["spec"]
    asked = {each["external"]["metric"]["name"] for each in spec["metrics"]}
    exported = {about.full_name: about for about in METRICS}

    assert asked == {rule["name"]["as"]}
    assert rule["seriesQuery"] in exported
    # Without it the adapter does not know of which namespace it is asked, and refuses.
    assert rule["resources"]["overrides"] == {"namespace": {"resource": "namespace"}}
    terms = re.findall(r'max\((\w+)\{(\w+)="(\w+)",<<\.LabelMatchers>>\}\)', rule["metricsQuery"])
    assert [term[0] for term in terms] == ["hypha_app_slots", "hypha_app_instances"]
    for name, label, value in terms:
        assert exported[name].label == label
        assert value in exported[name].values


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"replicaCount": 1, "redis": {"bundled": {"enabled": False}}}, "Runners need a Redis"),
        ({"runners": {"autoscaling": {"minReplicas": 9, "maxReplicas": 2}}}, "is more than"),
    ],
)
def test_what_cannot_work_is_refused(values: Values, words: str) -> None:
    runners = {"enabled": True, **values.get("runners", {})}

    assert words in refusal({**values, "runners": runners})
