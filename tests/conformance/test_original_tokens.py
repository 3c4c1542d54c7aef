"""Tokens of this hub at the original, and the other way round, where both have one JWT_SECRET."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hypha_cluster.identity.access import Identity
from tests.client_environments import environment
from tests.conftest import GatewayFactory
from tests.gateways import SECOND, environment as variables
from tests.raw_client import RawClient
from tests.token_rig import SECRET, token_of

pytestmark = pytest.mark.clients

PROGRAM = Path(__file__).with_name("original_tokens.py")
ANN = Identity("ann", False, "ann@example.org", ("admin",))


async def test_each_takes_what_the_other_makes(gateway_factory: GatewayFactory) -> None:
    url = gateway_factory(jwt_secret=SECRET).url
    async with await RawClient.connect(url, token=token_of(ANN)) as ann:
        child = await ann.manager("generate_token", {"scopes": ["ann"], "expires_in": 600})

    said = await asyncio.to_thread(at_the_original, child)

    assert (said["user"]["parent"], said["user"]["scopes"]) == ("ann", ["ann"])
    assert said["user"]["roles"] == ["admin"]
    async with await RawClient.connect(url, token=said["token"]) as john:
        assert (john.workspace, john.user["email"]) == ("john", "john@example.org")
        assert john.user["scopes"] == ["lab"]


def at_the_original(token: str) -> dict[str, Any]:
    done = subprocess.run(
        [environment("hypha-0.15.53").make(), PROGRAM, token],
        env={**variables(), "JWT_SECRET": SECRET},
        capture_output=True,
        text=True,
        timeout=60 * SECOND,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said
