"""Where the gateways find Redis and their secrets."""

import base64
import shlex
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
from redis import Redis
from redis.exceptions import AuthenticationError

from hypha_cluster.config import Config
from tests.chart.kubernetes_api import kubernetes_api
from tests.chart.rendering import (
    NAME,
    NAMESPACE,
    RELEASE,
    VARIANTS,
    Object,
    Values,
    chart,
    container,
    environment,
    objects,
    one,
    refusal,
    render,
    variant,
)
from tests.redis_servers import RedisServer

OWN: Values = {"bundled": {"enabled": False}}


def secret_ref(name: str, key: str) -> Object:
    return {"secretKeyRef": {"name": name, "key": key}}


def texts(secret: Object) -> dict[str, str]:
    return {key: base64.b64decode(text).decode() for key, text in secret["data"].items()}


def own_secret(values: Values) -> dict[str, str]:
    return texts(one(render(values), "Secret"))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_secret_that_is_read_is_rendered_or_is_one_of_the_values(name: str) -> None:
    values = variant(name)
    rendered = render(values)
    given = {thing["metadata"]["name"]: set(thing["data"]) for thing in rendered if "data" in thing}
    outside = set(_texts(values))

    for reference in _references(rendered):
        if reference["name"] in given:
            assert reference["key"] in given[reference["name"]]
        else:
            assert reference["name"] in outside


def _references(found: Any) -> list[Object]:
    if isinstance(found, dict):
        here = [found["secretKeyRef"]] if "secretKeyRef" in found else []
        return here + [each for value in found.values() for each in _references(value)]
    if isinstance(found, list):
        return [each for value in found for each in _references(value)]
    return []


def _texts(values: Any) -> list[str]:
    if isinstance(values, dict):
        return [text for value in values.values() for text in _texts(value)]
    if isinstance(values, list):
        return [text for value in values for text in _texts(value)]
    return [str(values)]


def test_the_bundled_redis_has_a_password_that_the_gateways_know() -> None:
    env = environment({})

    assert env["REDIS_PASSWORD"] == secret_ref(NAME, "redis-password")
    assert env["HYPHA_REDIS_URL"] == f"redis://:$(REDIS_PASSWORD)@{NAME}-redis:6379/0"
    assert list(env).index("REDIS_PASSWORD") < list(env).index("HYPHA_REDIS_URL")
    assert len(own_secret({})["redis-password"]) == 48
    own = {"redis": {"password": {"existingSecret": "redis"}}}
    assert environment(own)["REDIS_PASSWORD"] == secret_ref("redis", "redis-password")
    assert "redis-password" not in own_secret(own)
    assert one(render({}), "Service", f"{NAME}-redis")["spec"]["ports"][0]["port"] == 6379


def test_the_bundled_redis_lets_in_those_who_know_the_password(tmp_path: Path) -> None:
    (shell, flag, command) = container(one(render({}), "StatefulSet"))["args"]
    command = command.replace("$REDISCLI_AUTH", "word").replace("/data", str(tmp_path))
    *start, server = shlex.split(command)[:2]
    assert (shell, flag, start, server) == ("sh", "-c", ["exec"], "redis-server")

    arguments = (*shlex.split(command)[2:], "--port", "PORT")
    with RedisServer(tmp_path, *arguments, password="word") as redis:
        assert redis.ask("CONFIG", "GET", "appendonly")["appendonly"] == "yes"
        with Redis(port=redis.port) as stranger, pytest.raises(AuthenticationError):
            stranger.ping()


def test_an_address_is_kept_in_a_secret() -> None:
    url = "rediss+cluster://hub:s3cret@redis.example:6379"
    values = {"settings": {"redis_url": url}, "redis": OWN}

    assert environment(values)["HYPHA_REDIS_URL"] == secret_ref(NAME, "redis-url")
    assert own_secret(values)["redis-url"] == url
    assert "s3cret" not in str(one(render(values), "Deployment"))


def test_an_address_may_leave_its_password_to_a_secret() -> None:
    url = "redis+sentinel://:$(REDIS_PASSWORD)@sentinel.example:26379/hub"
    password = {"existingSecret": "redis", "existingSecretKey": "word"}
    env = environment({"settings": {"redis_url": url}, "redis": {**OWN, "password": password}})

    assert env["REDIS_PASSWORD"] == secret_ref("redis", "word")
    assert env["HYPHA_REDIS_URL"] == url
    assert list(env).index("REDIS_PASSWORD") < list(env).index("HYPHA_REDIS_URL")


def test_an_address_may_be_in_a_secret_as_a_whole() -> None:
    env = environment({"redis": {**OWN, "existingSecret": "redis", "existingSecretKey": "url"}})

    assert env["REDIS_ADDRESS"] == secret_ref("redis", "url")
    assert env["HYPHA_REDIS_URL"] == "$(REDIS_ADDRESS)"


@pytest.mark.parametrize("url", ["rediss://redis.example", "rediss://redis.example?db=1"])
def test_who_vouches_for_redis_is_mounted_and_named(url: str) -> None:
    tls = {"existingSecret": "ca", "clientCertificate": True}
    values: Values = {"settings": {"redis_url": url}, "redis": {**OWN, "tls": tls}}
    deployment = one(render(values), "Deployment")["spec"]["template"]["spec"]

    address = own_secret(values)["redis-url"]
    assert address == (
        f"{url}{'&' if '?' in url else '?'}ssl_ca_certs=/etc/hypha/redis-tls/ca.crt"
        "&ssl_certfile=/etc/hypha/redis-tls/tls.crt&ssl_keyfile=/etc/hypha/redis-tls/tls.key"
    )
    assert Config(redis_url=address).redis_url == address
    assert {"name": "redis-tls", "secret": {"secretName": "ca"}} in deployment["volumes"]
    mounts = deployment["containers"][0]["volumeMounts"]
    assert {"name": "redis-tls", "mountPath": "/etc/hypha/redis-tls", "readOnly": True} in mounts


def test_the_gateways_own_certificate_is_mounted_and_named() -> None:
    env = environment({"tls": {"existingSecret": "certificate"}})

    assert env["HYPHA_CERTFILE"] == "/etc/hypha/tls/tls.crt"
    assert env["HYPHA_KEYFILE"] == "/etc/hypha/tls/tls.key"


def test_the_signing_secret_is_made_given_or_elsewhere() -> None:
    assert len(own_secret({})["jwt-secret"]) == 48
    assert own_secret({"settings": {"jwt_secret": "given"}})["jwt-secret"] == "given"
    assert "jwt-secret" not in own_secret({"jwt": {"existingSecret": "hub"}})
    assert environment({})["HYPHA_JWT_SECRET"] == secret_ref(NAME, "jwt-secret")
    elsewhere = {"jwt": {"existingSecret": "hub", "existingSecretKey": "key"}}
    assert environment(elsewhere)["HYPHA_JWT_SECRET"] == secret_ref("hub", "key")


def test_without_redis_one_gateway_has_a_store_where_it_may_write() -> None:
    env = environment(variant("single"))

    assert "HYPHA_REDIS_URL" not in env
    assert env["HYPHA_DATA_DIR"].startswith("/tmp/")


def test_secrets_that_were_made_survive_an_upgrade() -> None:
    old = {"jwt-secret": "made long ago", "redis-password": "this too"}

    with kubernetes_api(NAMESPACE, {NAME: old}) as url:
        assert upgraded(url, {}) == old
        assert upgraded(url, {"settings": {"jwt_secret": "new"}}) == {**old, "jwt-secret": "new"}


def test_a_secret_that_an_upgrade_needs_first_is_made_beside_the_old_ones() -> None:
    with kubernetes_api(NAMESPACE, {NAME: {"jwt-secret": "made long ago"}}) as url:
        after = upgraded(url, {})

    assert after["jwt-secret"] == "made long ago"
    assert len(after["redis-password"]) == 48


def upgraded(url: str, values: Values) -> dict[str, str]:
    with helm.Config(kube_apiserver=url, namespace=NAMESPACE) as cluster:
        rendered = cluster.render(
            chart(), values, name=RELEASE, namespace=NAMESPACE, is_upgrade=True
        )
    return texts(one(list(objects(rendered)), "Secret"))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"redis": OWN},
            "More than one gateway need a Redis that they share: set settings.redis_url, "
            "redis.existingSecret or redis.bundled.enabled.",
        ),
        (
            {"replicaCount": 1, "autoscaling": {"enabled": True}, "redis": OWN},
            "More than one gateway need a Redis that they share: set settings.redis_url, "
            "redis.existingSecret or redis.bundled.enabled.",
        ),
        (
            {"jwt": {"generate": False}},
            "More than one gateway need a signing secret that they share: set "
            "jwt.existingSecret, settings.jwt_secret or jwt.generate.",
        ),
        (
            {"settings": {"redis_url": "redis://redis.example"}},
            "There are two: a Redis of your own and the bundled one. Set "
            "redis.bundled.enabled=false to use yours.",
        ),
        (
            {"settings": {"redis_url": "redis://r"}, "redis": {**OWN, "existingSecret": "redis"}},
            "Give the address of Redis once: in settings.redis_url or in redis.existingSecret.",
        ),
        (
            {
                "settings": {"redis_url": "redis://r"},
                "redis": {**OWN, "password": {"existingSecret": "redis"}},
            },
            "redis.password.existingSecret is for an address with $(REDIS_PASSWORD) in it: "
            "settings.redis_url=redis://:$(REDIS_PASSWORD)@host:6379.",
        ),
        (
            {"settings": {"redis_url": "redis://:$(REDIS_PASSWORD)@r"}, "redis": OWN},
            "settings.redis_url has $(REDIS_PASSWORD) in it: say in "
            "redis.password.existingSecret where that is.",
        ),
        (
            {"redis": {"tls": {"existingSecret": "ca"}}},
            "redis.tls.existingSecret is for a Redis of your own: set settings.redis_url or "
            "redis.existingSecret.",
        ),
        (
            {"settings": {"jwt_secret": "secret"}, "jwt": {"existingSecret": "hub"}},
            "Give the signing secret once: in settings.jwt_secret or in jwt.existingSecret.",
        ),
        (
            {"settings": {"certfile": "/c"}, "tls": {"existingSecret": "certificate"}},
            "Give the certificate once: in tls.existingSecret or in settings.certfile and "
            "settings.keyfile.",
        ),
        (
            {"settings": {"node_name": "hub"}},
            "settings.node_name would give several gateways the same name: leave it out, and "
            "each has that of its pod.",
        ),
        (
            {"httpRoute": {"enabled": True}},
            "An HTTPRoute belongs to a Gateway: name it in httpRoute.parentRefs.",
        ),
        (
            {"autoscaling": {"enabled": True, "targetCPU": 0}},
            "Autoscaling needs something to go by: set autoscaling.targetCPU, "
            "autoscaling.targetConnections or both.",
        ),
        (
            {"autoscaling": {"enabled": True, "minReplicas": 20}},
            "autoscaling.minReplicas is more than autoscaling.maxReplicas.",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(values: Values, sentence: str) -> None:
    assert refusal(values).endswith(f": {sentence}")
