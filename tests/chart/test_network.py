"""How the gateways are reached, and by whom."""

from typing import Any

import pytest

from tests.chart.rendering import NAME, Object, Values, environment, files, one, render, variant

RESTRICTED: Values = {"networkPolicy": {"from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}}


def policy(values: Values, name: str = NAME) -> Object:
    spec: Object = one(render(values), "NetworkPolicy", name)["spec"]
    return spec


def notes(values: Values) -> str:
    return files(values)["hypha-cluster/templates/NOTES.txt"]


def test_no_balancer_is_told_to_be_sticky() -> None:
    for name in ("nginx", "traefik", "gateway_api", "load_balancer"):
        rendered = render(variant(name))
        assert one(rendered, "Service", NAME)["spec"]["sessionAffinity"] == "None"
        assert not any(word in str(rendered).lower() for word in ("sticky", "affinity: cookie"))


def test_nginx_leaves_websockets_alone_and_places_no_call_twice() -> None:
    rendered = render(variant("nginx"))
    requests = nginx(one(rendered, "Ingress", NAME))
    upgrades = nginx(one(rendered, "Ingress", f"{NAME}-ws"))

    assert requests["proxy-body-size"] == "0"
    assert requests["proxy-next-upstream"] == "error"
    assert "http_503" in upgrades["proxy-next-upstream"].split()
    assert int(upgrades["proxy-next-upstream-timeout"]) < 10


@pytest.mark.parametrize(("ping", "silence"), [(5, "60"), ("20s", "60"), ("1m", "180")])
def test_nginx_waits_longer_than_a_gateway_is_silent(ping: int | str, silence: str) -> None:
    values = {
        "settings": {"ping_interval": ping},
        "ingress": {"enabled": True, "controller": "nginx"},
    }

    upgrades = nginx(one(render(values), "Ingress", f"{NAME}-ws"))

    assert upgrades["proxy-read-timeout"] == upgrades["proxy-send-timeout"] == silence


def nginx(ingress: Object) -> dict[str, str]:
    prefix = "nginx.ingress.kubernetes.io/"
    annotations: dict[str, str] = ingress["metadata"]["annotations"]
    return {key.removeprefix(prefix): text for key, text in annotations.items()}


def test_nginx_is_told_of_https() -> None:
    ingress = {"enabled": True, "controller": "nginx"}
    rendered = render({"ingress": ingress, "tls": {"existingSecret": "certificate"}})

    for name in (NAME, f"{NAME}-ws"):
        assert nginx(one(rendered, "Ingress", name))["backend-protocol"] == "HTTPS"


def test_traefik_tries_again_when_a_gateway_cannot_be_reached() -> None:
    rendered = render(variant("traefik"))
    middleware = one(rendered, "Middleware")
    annotations = one(rendered, "Ingress")["metadata"]["annotations"]
    prefix = "traefik.ingress.kubernetes.io/router"

    assert middleware["apiVersion"] == "traefik.io/v1alpha1"
    assert middleware["spec"].keys() == {"retry"}
    name = f"{middleware['metadata']['namespace']}-{middleware['metadata']['name']}"
    assert annotations[f"{prefix}.middlewares"] == f"{name}@kubernetescrd"
    assert annotations[f"{prefix}.entrypoints"] == "websecure"


def test_annotations_of_ones_own_win() -> None:
    own = {"nginx.ingress.kubernetes.io/proxy-read-timeout": "10", "a.example/b": "c"}
    ingress = {"enabled": True, "controller": "nginx", "annotations": own}

    for name in (NAME, f"{NAME}-ws"):
        annotations = one(render({"ingress": ingress}), "Ingress", name)["metadata"]["annotations"]
        assert annotations.items() >= own.items()


def test_an_ingress_leads_to_the_service() -> None:
    rendered = render(variant("nginx"))
    backend = {"service": {"name": NAME, "port": {"name": "http"}}}

    for name, path, kind in ((NAME, "/hypha", "Prefix"), (f"{NAME}-ws", "/hypha/ws", "Exact")):
        spec = one(rendered, "Ingress", name)["spec"]
        paths = [{"path": path, "pathType": kind, "backend": backend}]
        assert spec["rules"] == [{"host": "hub.example.org", "http": {"paths": paths}}]
        assert spec["ingressClassName"] == "nginx"
        assert spec["tls"] == [{"secretName": "hub-tls", "hosts": ["hub.example.org"]}]


def test_an_ingress_without_hosts_is_for_all() -> None:
    rules = one(render({"ingress": {"enabled": True}}), "Ingress")["spec"]["rules"]

    assert [rule.keys() for rule in rules] == [{"http"}]
    assert rules[0]["http"]["paths"][0]["path"] == "/"


def test_an_http_route_leads_to_the_service_and_has_no_limit_of_time() -> None:
    rendered = render(variant("gateway_api"))
    spec = one(rendered, "HTTPRoute")["spec"]
    (rule,) = spec["rules"]

    assert spec["parentRefs"] == [{"name": "public", "namespace": "gateways"}]
    assert rule["backendRefs"] == [{"name": NAME, "port": 9000}]
    assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}
    (port,) = one(rendered, "Service", NAME)["spec"]["ports"]
    assert port == {
        "name": "http",
        "port": 9000,
        "targetPort": "http",
        "appProtocol": "kubernetes.io/wss",
    }
    plain = render({"httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}})
    assert one(plain, "Service", NAME)["spec"]["ports"][0]["appProtocol"] == "kubernetes.io/ws"


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("bundled", f"http://{NAME}.prod:9000"),
        ("nginx", "https://hub.example.org/hypha"),
        ("gateway_api", "https://hub.example.org"),
        ("load_balancer", f"http://{NAME}.prod:443"),
    ],
)
def test_the_hub_is_told_where_it_is_reached(name: str, url: str) -> None:
    assert environment(variant(name))["HYPHA_PUBLIC_BASE_URL"] == url


def test_who_knows_the_address_better_says_so() -> None:
    values = {**variant("nginx"), "settings": {"public_base_url": "https://other.example"}}
    values |= {"redis": {"bundled": {"enabled": True}}}

    assert environment(values)["HYPHA_PUBLIC_BASE_URL"] == "https://other.example"


def test_anybody_reaches_the_gateways_unless_restricted() -> None:
    assert policy({})["ingress"] == [{"ports": [{"port": "http"}]}]
    assert policy({})["policyTypes"] == ["Ingress"]


def test_a_restriction_lets_the_metrics_and_the_test_in() -> None:
    (rule,) = policy(RESTRICTED)["ingress"]
    monitoring = {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
    test = one(render({}), "Pod")["metadata"]["labels"]

    assert rule["ports"] == [{"port": "http"}]
    own, metrics, tests = rule["from"]
    assert own == RESTRICTED["networkPolicy"]["from"][0]
    assert metrics == {"namespaceSelector": monitoring}
    assert tests["podSelector"]["matchLabels"].items() <= test.items()


def test_only_gateways_reach_the_bundled_redis() -> None:
    spec = policy({}, f"{NAME}-redis")
    gateways = one(render({}), "Deployment")["spec"]["selector"]["matchLabels"]

    (rule,) = spec["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": gateways}}]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["egress"] == []


def test_gateways_that_are_kept_in_still_reach_what_they_need() -> None:
    def ports(values: Values) -> list[Any]:
        egress = policy({**values, "networkPolicy": {"restrictEgress": True}})["egress"]
        return [port["port"] for rule in egress for port in rule.get("ports", ())]

    own = {"settings": {"redis_url": "redis://r"}, "redis": {"bundled": {"enabled": False}}}
    assert ports({}) == [53, 53, 443, "redis"]
    assert ports(own) == [53, 53, 443, 6379, 26379]
    more = policy(variant("nginx"))["egress"][-1]
    assert more == {"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}


def test_prometheus_is_told_where_the_metrics_are() -> None:
    rendered = render(variant("nginx"))
    monitor, service = one(rendered, "ServiceMonitor"), one(rendered, "Service", NAME)

    (endpoint,) = monitor["spec"]["endpoints"]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert (
        monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    )
    assert endpoint["port"] == service["spec"]["ports"][0]["name"]
    assert endpoint["path"] == "/metrics"
    # The alerts ask for jobs of this name.
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "hypha-cluster"


def test_prometheus_uses_https_where_the_gateways_do() -> None:
    (endpoint,) = one(render(variant("gateway_api")), "ServiceMonitor")["spec"]["endpoints"]

    assert (endpoint["scheme"], endpoint["tlsConfig"]) == ("https", {"insecureSkipVerify": True})


def test_the_board_is_found_by_grafanas_sidecar() -> None:
    board = one(render(variant("traefik")), "ConfigMap")

    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert board["metadata"]["annotations"] == {"grafana_folder": "Hubs"}
    assert '"uid": "hypha-cluster"' in board["data"]["hypha-cluster.json"]


def test_notes_say_how_to_connect() -> None:
    assert '{"server_url": "https://hub.example.org/hypha"}' in notes(variant("nginx"))
    assert f"port-forward service/{NAME} 9000:9000" in notes({})
    assert '{"server_url": "http://localhost:9000"}' in notes({})
    assert f"get service {NAME}" in notes(variant("load_balancer"))
    assert "helm --namespace prod test hub" in notes({})


def test_notes_warn_of_what_is_only_for_trying_out() -> None:
    assert "for trying out" in notes({})
    assert "all is lost with its pod" in notes(variant("single"))
    assert "deletes everything" in notes({"settings": {"reset_redis": True}})
    assert not {"trying out", "is lost", "deletes"} & set(notes(variant("nginx")).split("\n\n"))
