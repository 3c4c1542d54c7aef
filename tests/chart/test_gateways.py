"""The gateways' pods: how they start, stop, are spread and kept in."""

import math
from typing import Any

import pytest

from hypha_cluster.clients import drain
from hypha_cluster.config import Config
from hypha_cluster.serving.gateway import GRACE
from tests.chart.rendering import (
    NAME,
    VARIANTS,
    Object,
    Values,
    chart,
    container,
    environment,
    gateway,
    one,
    render,
    variant,
)

SELECTED = {
    "app.kubernetes.io/name": "hypha-cluster",
    "app.kubernetes.io/instance": "hub",
    "app.kubernetes.io/component": "gateway",
}


def deployment(values: Values) -> Object:
    return one(render(values), "Deployment", NAME)


def pod(values: Values) -> Object:
    template: Object = deployment(values)["spec"]["template"]
    return template


def test_a_new_gateway_is_ready_before_an_old_one_goes() -> None:
    strategy = deployment({})["spec"]["strategy"]

    assert strategy == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
    }


def test_probes_ask_for_what_the_hub_answers() -> None:
    hub = gateway({})

    paths = {
        name: hub[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "readiness", "liveness")
    }
    assert paths == {
        "startup": "/health/live",
        "readiness": "/health/ready",
        "liveness": "/health/live",
    }
    assert hub["ports"] == [{"name": "http", "containerPort": 9000}]
    assert {hub[f"{name}Probe"]["httpGet"]["port"] for name in paths} == {"http"}
    assert hub["startupProbe"]["periodSeconds"] * hub["startupProbe"]["failureThreshold"] >= 60


def test_probes_use_https_where_the_gateways_do() -> None:
    for values in ({"tls": {"existingSecret": "c"}}, {"settings": {"certfile": "/more/c.pem"}}):
        probes = [gateway(values)[f"{name}Probe"] for name in ("startup", "readiness", "liveness")]
        assert {probe["httpGet"]["scheme"] for probe in probes} == {"HTTPS"}


@pytest.mark.parametrize(
    ("settings", "delay", "time"),
    [
        ({}, Config().drain_delay, Config().drain_time),
        ({"drain_time": 0}, Config().drain_delay, 0),
        ({"drain_delay": "0", "drain_time": 0.5}, 0, 0.5),
        ({"drain_delay": "1500ms", "drain_time": "1m"}, 1.5, 60),
        ({"drain_delay": 7, "drain_time": "1.5 h"}, 7, 5400),
        ({"drain_time": "90s"}, Config().drain_delay, 90),
    ],
)
@pytest.mark.parametrize("pre_stop", [0, 5, 30])
def test_a_gateway_has_the_time_to_drain(
    settings: dict[str, Any], delay: float, time: float, pre_stop: int
) -> None:
    values = {"settings": settings, "preStopSeconds": pre_stop, "terminationMarginSeconds": 10}

    spec = pod(values)["spec"]

    needed = pre_stop + delay + time
    assert spec["terminationGracePeriodSeconds"] == math.ceil(needed + 10)
    slept = spec["containers"][0].get("lifecycle", {}).get("preStop", {}).get("exec", {})
    assert slept.get("command", ["sleep", "0"]) == ["sleep", str(pre_stop)]
    Config.load((), {f"HYPHA_{name.upper()}": str(value) for name, value in settings.items()})


def test_the_time_to_spare_is_enough_for_who_cannot_go_at_once() -> None:
    spare = chart().values["terminationMarginSeconds"]

    assert spare >= drain.PATIENCE + 2 * GRACE


def test_gateways_are_spread_over_zones_and_nodes() -> None:
    spread = pod({})["spec"]["topologySpreadConstraints"]

    assert [one["topologyKey"] for one in spread] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]
    assert all(one["labelSelector"]["matchLabels"] == SELECTED for one in spread)


@pytest.mark.parametrize("name", VARIANTS)
def test_selectors_match_the_gateways_and_no_other_pods(name: str) -> None:
    rendered = render(variant(name))
    labels = pod(variant(name))["metadata"]["labels"]
    others = [
        thing["metadata"]["labels"] if thing["kind"] == "Pod" else _template_labels(thing)
        for thing in rendered
        if thing["kind"] in ("Pod", "StatefulSet")
    ]

    selectors = [
        one(rendered, "Deployment", NAME)["spec"]["selector"]["matchLabels"],
        one(rendered, "Service", NAME)["spec"]["selector"],
        one(rendered, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one(rendered, "NetworkPolicy", NAME)["spec"]["podSelector"]["matchLabels"],
    ]

    assert all(selector.items() <= labels.items() for selector in selectors)
    assert not any(s.items() <= other.items() for s in selectors for other in others)


def _template_labels(thing: Object) -> dict[str, str]:
    labels: dict[str, str] = thing["spec"]["template"]["metadata"]["labels"]
    return labels


@pytest.mark.parametrize("name", VARIANTS)
def test_pods_fit_the_restricted_standard(name: str) -> None:
    """See kubernetes.io/docs/concepts/security/pod-security-standards, Restricted."""
    for spec in pod_specs(render(variant(name))):
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security.get("runAsUser") != 0
        assert security["seccompProfile"]["type"] == "RuntimeDefault"
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert all("hostPath" not in volume for volume in spec.get("volumes", ()))
        assert spec["automountServiceAccountToken"] is False
        for each in (*spec["containers"], *spec.get("initContainers", ())):
            assert each["securityContext"]["allowPrivilegeEscalation"] is False
            assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert each["securityContext"].keys().isdisjoint({"privileged", "runAsUser"})


def pod_specs(rendered: list[Object]) -> list[Object]:
    """Return what is said of each pod."""
    specs = [thing["spec"] for thing in rendered if thing["kind"] == "Pod"]
    templated = [t for t in rendered if t["kind"] in ("Deployment", "StatefulSet")]
    return [*specs, *(thing["spec"]["template"]["spec"] for thing in templated)]


def test_the_chart_writes_nowhere_but_to_its_volumes() -> None:
    rendered = render({})
    for spec in pod_specs(rendered):
        for each in (*spec["containers"], *spec.get("initContainers", ())):
            assert each["securityContext"]["readOnlyRootFilesystem"] is True

    assert {"name": "tmp", "mountPath": "/tmp"} in gateway({})["volumeMounts"]
    assert pod({})["spec"]["volumes"] == [{"name": "tmp", "emptyDir": {}}]
    assert container(one(rendered, "StatefulSet"))["volumeMounts"] == [
        {"name": "data", "mountPath": "/data"}
    ]


def test_a_cluster_may_give_all_pods_their_users() -> None:
    for spec in pod_specs(render({"runAsUser": 0})):
        assert "runAsUser" not in spec["securityContext"]


def test_what_is_mounted_is_there() -> None:
    for name in VARIANTS:
        for spec in pod_specs(render(variant(name))):
            volumes = {volume["name"] for volume in spec.get("volumes", ())}
            each = (*spec["containers"], *spec.get("initContainers", ()))
            mounted = {m["name"] for one in each for m in one.get("volumeMounts", ())}
            assert mounted <= volumes | {"data"}


def test_extras_reach_the_pod() -> None:
    spec = pod(variant("nginx"))["spec"]
    hub = spec["containers"][0]

    assert [each["name"] for each in spec["containers"]] == ["gateway", "beside"]
    assert [each["name"] for each in spec["initContainers"]] == ["before"]
    assert hub["env"][-1] == {"name": "TZ", "value": "UTC"}
    assert hub["envFrom"] == [{"secretRef": {"name": "more", "optional": True}}]
    assert {"name": "more", "mountPath": "/more"} in hub["volumeMounts"]
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["priorityClassName"] == "important"
    assert spec["tolerations"] == [{"key": "dedicated", "operator": "Exists"}]
    assert spec["nodeSelector"] == {"kubernetes.io/arch": "amd64"}
    assert "nodeAffinity" in spec["affinity"]
    assert spec["serviceAccountName"] == "hub"
    assert spec["dnsConfig"] == {"searches": ["example.org"]}
    service = one(render(variant("load_balancer")), "Service")["spec"]
    assert service["externalTrafficPolicy"] == "Local"
    assert one(render(variant("nginx")), "ConfigMap")["metadata"]["name"] == "hub-more"


def test_the_image_is_that_of_the_version_unless_another_is_named() -> None:
    assert gateway({})["image"] == "hypha-cluster:0.1.0"
    assert gateway({"image": {"tag": "1.2"}})["image"] == "hypha-cluster:1.2"
    assert gateway(variant("nginx"))["image"].startswith("registry.example/hypha-cluster@sha256:")


def test_every_gateway_has_the_name_of_its_pod() -> None:
    from_pod = {"fieldRef": {"fieldPath": "metadata.name"}}

    assert environment({})["HYPHA_NODE_NAME"] == from_pod


def test_autoscaling_decides_how_many_there_are() -> None:
    rendered = render(variant("nginx"))
    scaler = one(rendered, "HorizontalPodAutoscaler")["spec"]

    assert "replicas" not in one(rendered, "Deployment")["spec"]
    assert scaler["scaleTargetRef"]["name"] == one(rendered, "Deployment")["metadata"]["name"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 20)
    cpu, connections = scaler["metrics"]
    assert cpu["resource"]["target"] == {"type": "Utilization", "averageUtilization": 120}
    assert connections["pods"] == {
        "metric": {"name": "hypha_connections"},
        "target": {"type": "AverageValue", "averageValue": "2000"},
    }
    down = scaler["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] >= 600
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 120}]


def test_few_gateways_are_missing_at_a_time() -> None:
    def budget(values: Values) -> Object:
        spec: Object = one(render(values), "PodDisruptionBudget")["spec"]
        return {k: v for k, v in spec.items() if k in ("maxUnavailable", "minAvailable")}

    assert budget({}) == {"maxUnavailable": 1}
    assert budget(variant("load_balancer")) == {"maxUnavailable": "25%"}
    assert budget(variant("nginx")) == {"minAvailable": "50%"}
    assert budget({"podDisruptionBudget": {"minAvailable": 0}}) == {"minAvailable": 0}


def test_other_secrets_in_the_values_make_other_pods() -> None:
    one, other = ({"settings": {"jwt_secret": secret}} for secret in ("one", "other"))

    assert pod(one)["metadata"] == pod(one)["metadata"]
    assert pod(one)["metadata"] != pod(other)["metadata"]
    assert pod({}) == pod({}), "a secret that the chart makes must not"
