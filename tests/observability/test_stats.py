"""/api/stats: what a cluster has, and who may know."""

import asyncio
import json
import secrets
import urllib.error
import urllib.request
from typing import Any

from hypha_cluster.config import Config
from hypha_cluster.identity.access import ROOT, Identity
from hypha_cluster.identity.tokens import Tokens, TokenSettings
from tests.conftest import GatewayFactory
from tests.gateways import SECOND
from tests.raw_client import RawClient

SECRET = secrets.token_hex()
ADMIN = Identity("ann", is_anonymous=False, roles=("admin",))


def token_for(identity: Identity) -> str:
    """A token of the cluster, as whoever has its secret can make one."""
    defaults = Config()
    settings = TokenSettings(
        issuer=defaults.auth0_issuer,
        audience=defaults.auth0_audience,
        namespace=defaults.auth0_namespace,
        lifetime=600,
        reconnection_lifetime=600,
    )
    return Tokens(SECRET, settings, None).issue(identity)


async def stats(
    url: str, token: str | None = None, path: str = "api/stats"
) -> tuple[int, dict[str, Any]]:
    return await asyncio.to_thread(_stats, f"{url}/{path}", token)


def _stats(url: str, token: str | None) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    asked = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=10 * SECOND) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


async def test_an_administrator_sees_the_whole_cluster(gateway_factory: GatewayFactory) -> None:
    first = gateway_factory(jwt_secret=SECRET, node_name="one")
    second = gateway_factory(jwt_secret=SECRET, node_name="two", base_path="/hub")

    async with await RawClient.connect(first.url) as client:
        status, seen = await stats(f"{second.url}/hub", token_for(ADMIN))
        _, listed = await stats(first.url, token_for(ADMIN), "workspaces/list")

    assert {client.workspace, "public"} == set(listed)
    assert status == 200
    assert {gateway["name"]: gateway["clients"] for gateway in seen["gateways"]} == {
        "one": 1,
        "two": 0,
    }
    assert (seen["client_count"], seen["workspace_count"]) == (1, 1)
    assert [workspace["name"] for workspace in seen["workspaces"]] == [client.workspace]


async def test_nobody_else_sees_it(gateway_factory: GatewayFactory) -> None:
    gateway = gateway_factory(jwt_secret=SECRET)
    child = Identity("kim", is_anonymous=False, parent=ROOT.id)

    answers = [
        await stats(gateway.url),
        await stats(gateway.url, token_for(Identity("eve", is_anonymous=False))),
        await stats(gateway.url, token_for(child)),
    ]
    forged = await stats(gateway.url, token_for(ADMIN)[:-2] + "xx")

    assert [status for status, _ in answers] == [403, 403, 403]
    assert all("Only an admin may see this" in answer["detail"] for _, answer in answers)
    assert forged[0] == 401
