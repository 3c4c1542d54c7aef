"""Whatever the values, what is rendered is something that Kubernetes takes."""

import json
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path

import helm_python as helm
import pytest
from kubernetes_validate import ValidationError, utils, validate

from helm.generate import CHART
from tests.chart.golden import golden_files
from tests.chart.rendering import NAME, VARIANTS, Object, Values, objects, one, render, variant

VERSIONS = ("1.27", "1.30", "1.33", "1.37")
# Not Kubernetes' own: see `test_objects_of_operators_have_the_shape_that_these_ask_for`.
OF_OPERATORS = ("HTTPRoute", "Middleware", "PrometheusRule", "ServiceMonitor")

OWN: Values = {"bundled": {"enabled": False}}
REDIS: tuple[Values, ...] = (
    {},
    {"settings": {"redis_url": "redis://redis.example"}, "redis": OWN},
    {
        "settings": {"redis_url": "redis+cluster://:$(REDIS_PASSWORD)@redis.example"},
        "redis": {**OWN, "password": {"existingSecret": "redis"}},
    },
    {"redis": {**OWN, "existingSecret": "redis", "tls": {"existingSecret": "ca"}}},
)
EXPOSURE: tuple[Values, ...] = (
    {},
    {"ingress": {"enabled": True, "controller": "nginx", "hosts": ["a.example", "b.example"]}},
    {"ingress": {"enabled": True, "controller": "traefik"}, "tls": {"existingSecret": "cert"}},
    {"httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}},
    {"service": {"type": "NodePort", "nodePort": 30900}},
)
SIZE: tuple[Values, ...] = (
    {"replicaCount": 1},
    {"autoscaling": {"enabled": True, "targetCPU": 0, "targetConnections": 500}},
)
ISOLATION: tuple[Values, ...] = (
    {"networkPolicy": {"enabled": False}, "podDisruptionBudget": {"enabled": False}},
    {"networkPolicy": {"restrictEgress": True, "from": [{"podSelector": {}}]}},
)
MATRIX = [
    {key: value for part in parts for key, value in part.items()}
    for parts in product(REDIS, EXPOSURE, SIZE, ISOLATION)
]
ALL = [*MATRIX, *(variant(name) for name in VARIANTS)]


@pytest.fixture(scope="module")
def rendered() -> list[Object]:
    """Return every object of every combination, equal ones once."""
    found = {json.dumps(thing, sort_keys=True): thing for v in ALL for thing in render(v)}
    return list(found.values())


@pytest.fixture(scope="module", autouse=True)
def _schemas_are_read_once() -> Iterator[None]:
    """Reading them anew for each object takes ten times as long as all else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "schema_contents", cache(utils.schema_contents))
        yield


def test_nothing_is_complained_of_by_a_strict_lint() -> None:
    for values in ALL:
        report = helm.lint(CHART, values, strict=True)

        worst = max((message["severity"] for message in report["messages"]), default=0)
        assert (worst, report["errors"]) == (1, []), values  # 1: an icon would be nice


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_are_valid(version: str, rendered: list[Object]) -> None:
    for thing in rendered:
        if thing["kind"] not in OF_OPERATORS:
            validate(thing, version, strict=True)


def test_a_wrong_object_would_be_found(rendered: list[Object]) -> None:
    service = one(render({}), "Service", NAME)

    with pytest.raises(ValidationError, match="sesionAffinity"):
        validate({**service, "spec": {"sesionAffinity": "None"}}, VERSIONS[0], strict=True)


def test_objects_of_operators_have_the_shape_that_these_ask_for() -> None:
    route = one(render(variant("gateway_api")), "HTTPRoute")
    monitored = render(variant("traefik"))
    monitor, rule = one(monitored, "ServiceMonitor"), one(monitored, "PrometheusRule")

    assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert route["spec"].keys() == {"parentRefs", "hostnames", "rules"}
    assert monitor["apiVersion"] == rule["apiVersion"] == "monitoring.coreos.com/v1"
    assert monitor["spec"].keys() == {"jobLabel", "selector", "endpoints"}
    assert rule["spec"].keys() == {"groups"}
    assert all(alert["expr"] for group in rule["spec"]["groups"] for alert in group["rules"])


@pytest.mark.parametrize("name", VARIANTS)
def test_no_two_objects_have_the_same_name(name: str) -> None:
    names = [(thing["kind"], thing["metadata"]["name"]) for thing in render(variant(name))]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", VARIANTS)
def test_objects_are_labelled_and_in_the_namespace(name: str) -> None:
    values = variant(name)
    for thing in render(values):
        if thing["metadata"]["name"] == "hub-more":
            continue  # of extraObjects
        assert thing["metadata"]["namespace"] == "prod"
        labels = thing["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "hub"
        assert labels.items() >= values.get("commonLabels", {}).items()
        annotations = thing["metadata"].get("annotations", {})
        assert annotations.items() >= values.get("commonAnnotations", {}).items()


def test_names_fit_however_long_the_release_is_called() -> None:
    name = "a-release-with-a-name-that-is-as-long-as-helm-allows"
    rendered = helm.Chart.load(CHART).render({}, name=name, namespace="prod")

    for thing in objects(rendered):
        assert len(thing["metadata"]["name"]) <= 63 - len("-0123456789")


@pytest.mark.parametrize("path", golden_files(), ids=lambda path: path.stem)
def test_what_is_rendered_is_what_was_looked_at(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == golden_files()[path], "run `make format`"


def test_a_chart_that_has_this_one_as_a_part_works(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    (whole / "charts").mkdir(parents=True)
    (whole / "charts" / "hypha-cluster").symlink_to(CHART)
    (whole / "Chart.yaml").write_text("apiVersion: v2\nname: whole\nversion: 1.0.0\n")
    values = {"hypha-cluster": {"replicaCount": 4}, "global": {"anything": 1}}

    chart = helm.Chart.load(whole)
    chart.validate_schema(values)

    assert one(list(_of_parts(chart, values)), "Deployment")["spec"]["replicas"] == 4


def _of_parts(chart: helm.Chart, values: Values) -> Iterator[Object]:
    return objects(chart.render(values, name="hub", namespace="prod"))
