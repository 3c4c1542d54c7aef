"""What survives when a gateway is killed together with its embedded store."""

import json
import urllib.request
from pathlib import Path

from hypha_cluster.access import Identity
from hypha_cluster.config import Config
from hypha_cluster.store.tokens import Tokens, TokenSettings
from tests.gateways import SECOND, Gateway
from tests.raw_client import RawClient

SECRET = "only for this test"


def token_of(identity: Identity) -> str:
    config = Config()
    settings = TokenSettings(
        issuer=config.auth0_issuer,
        audience=config.auth0_audience,
        namespace=config.auth0_namespace,
        lifetime=config.token_lifetime,
        reconnection_lifetime=config.reconnection_token_lifetime,
    )
    return Tokens(SECRET, settings).issue(identity)


def workspace_info(url: str, workspace: str, token: str) -> dict[str, object]:
    request = urllib.request.Request(
        f"{url}/{workspace}/info", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=30 * SECOND) as answer:
        info: dict[str, object] = json.load(answer)
    return info


async def test_a_persistent_workspace_is_there_after_a_kill(tmp_path: Path) -> None:
    token = token_of(Identity("someone", is_anonymous=False, email="someone@example.org"))
    home = str(tmp_path / "data")
    with Gateway(tmp_path / "first.log", data_dir=home, jwt_secret=SECRET) as gateway:
        async with await RawClient.connect(gateway.url, token=token) as client:
            config = {
                "name": "lab",
                "owners": [],
                "visibility": "protected",
                "persistent": True,
                "description": "kept",
            }
            await client.manager("create_workspace", config)
            gateway.kill()

    with Gateway(tmp_path / "second.log", data_dir=home, jwt_secret=SECRET) as gateway:
        info = workspace_info(gateway.url, "lab", token)

    assert info["description"] == "kept"
    assert info["owners"] == ["someone@example.org"]
