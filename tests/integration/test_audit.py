"""The audit log of a real gateway: each thing once, in its order, and no secret."""

import json
import re
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from hypha_cluster.identity.access import Identity
from tests.conftest import GatewayFactory
from tests.gateways import Gateway
from tests.login_rig import PASSWORD, Person
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
