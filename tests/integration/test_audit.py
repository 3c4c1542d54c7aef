"""The audit log of a real gateway: each thing once, in its order, and no secret."""

import json
import re
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.accounts import Account
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.accounts import Accounts
from hypha_cluster.registry.keys import Keys
from tests.conftest import GatewayFactory
from tests.gateways import Gateway
from tests.http import ask
from tests.login_rig import PASSWORD, Person, check, hash_of, key_of, start
from tests.raw_client import RawClient
from tests.token_rig import SECRET, token_of

ANN = Identity("ann", False, "ann@example.org")


def lines(gateway: Gateway) -> list[dict[str, Any]]:
    return [json.loads(text) for text in re.findall(r"hypha_cluster\.audit: (.*)", gateway.log())]


async def test_what_happens_is_written_and_no_secret(gateway_factory: GatewayFactory) -> None:
    gateway = gateway_factory(audit=True, jwt_secret=SECRET)
    token = token_of(ANN)
    async with await RawClient.connect(gateway.url, token=token) as ann, Person() as person:
        lab = {"name": "lab", "owners": [], "visibility": "protected"}
        await ann.manager("create_workspace", lab)
        made = await ann.manager("generate_token", {"scopes": ["lab"]})
        await ann.manager("set", {"description": "x"})
        await ann.manager("create_workspace", {**lab, "description": "anew"}, True)
        with pytest.raises(InvalidStatus):
            await RawClient.connect(gateway.url, workspace="lab")
        await person.log_in(gateway.url, "bob")
        call = {"token": made}
        await ann.call("public/workspace-manager", "services.hypha-login.revoke_token", **call)

    found = lines(gateway)
    assert [line["event"] for line in found] == [
        "admitted",
        "workspace made",
        "token made",
        "workspace changed",
        "workspace overwritten",
        "refused",
        "login failed",
        "revoked",
    ]
    assert found[0]["email"] == "ann@example.org"
    assert found[2]["scopes"] == ["lab"]
    assert found[4]["workspace"] == "lab"
    assert "Permission denied" in found[5]["reason"]
    for secret in (token, made, PASSWORD, SECRET):
        assert secret not in gateway.log()


async def test_nothing_is_written_unless_it_is_asked_for(gateway_factory: GatewayFactory) -> None:
    gateway = gateway_factory(jwt_secret=SECRET)

    async with await RawClient.connect(gateway.url, token=token_of(ANN)) as ann:
        await ann.manager("generate_token")

    assert lines(gateway) == []


async def test_logins_refusals_and_limits_are_written_and_no_secret(
    gateway_factory: GatewayFactory, redis_client: RedisClient, redis_prefix: str
) -> None:
    accounts = Accounts(redis_client, Keys(redis_prefix))
    await accounts.add(Account("ann", ANN.email or "", ("admin",), hash_of(PASSWORD)))
    gateway = gateway_factory(audit=True, jwt_secret=SECRET)
    url, bad = gateway.url, token_of(ANN)[:-2]
    await ask(f"{url}/lab/info?x=hush", Authorization=f"Bearer {bad}")
    async with Person() as person:
        started = await start(url)
        consent = await person.log_in(url, "ann", key=key_of(started["login_url"]))
        await person.answer(url, consent)
        token = await check(url, started["key"], 5)
        await person.send(f"{url}/login/sign-out", {"csrf": "made up"})
        for action in ("block", "unblock"):
            form = {"csrf": consent.fields["csrf"], "user": "bob", "action": action}
            await person.send(f"{url}/account/admin/user", form)
    async with Person() as guesser:
        for _ in range(11):
            await guesser.log_in(url, "ann", "wrong")

    found = lines(gateway)
    assert [line["event"] for line in found] == [
        *("refused", "logged in", "token made", "refused", "revoked", "revocation lifted"),
        *(["login failed"] * 10),
        "limit hit",
    ]
    assert (found[0]["method"], found[0]["path"]) == ("GET", "/lab/info")
    assert (found[1]["user"], found[2]["user"]) == ("ann", "ann")
    assert found[3]["path"] == "/login/sign-out"
    assert found[-1]["limit"] == "wrong passwords"
    for secret in (token, bad, started["key"], PASSWORD, "hush", consent.fields["csrf"]):
        assert secret not in gateway.log()
