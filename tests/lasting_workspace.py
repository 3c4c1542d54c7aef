"""A workspace that is meant to last: made before whatever a test does, looked for afterwards."""

import json
import urllib.request

from hypha_cluster.config import Config
from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.tokens import Tokens, TokenSettings
from tests.gateways import SECOND
from tests.raw_client import RawClient

NAME = "lab"
OWNER = Identity("someone", is_anonymous=False, email="someone@example.org")


async def make(url: str, secret: str) -> None:
    """Make it, at a hub that signs with this secret."""
    async with await RawClient.connect(url, token=_token(secret)) as client:
        config = {
            "name": NAME,
            "owners": [],
            "visibility": "protected",
            "persistent": True,
            "description": "kept",
        }
        await client.manager("create_workspace", config)


def check(url: str, secret: str) -> None:
    """Make sure that it is there, as it was made, and that a token from before still holds."""
    request = urllib.request.Request(
        f"{url}/{NAME}/info", headers={"Authorization": f"Bearer {_token(secret)}"}
    )
    with urllib.request.urlopen(request, timeout=30 * SECOND) as answer:
        info = json.load(answer)
    assert info["description"] == "kept"
    assert info["owners"] == [OWNER.email]


def _token(secret: str) -> str:
    config = Config()
    settings = TokenSettings(
        issuer=config.auth0_issuer,
        audience=config.auth0_audience,
        namespace=config.auth0_namespace,
        lifetime=config.token_lifetime,
        reconnection_lifetime=config.reconnection_token_lifetime,
    )
    return Tokens(secret, settings).issue(OWNER)
