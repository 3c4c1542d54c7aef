"""The table of the routes that an operator turns on holds."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from hypha_cluster.app import create_app
from hypha_cluster.config import Config
from hypha_cluster.features.built_in import BUILT_IN
from hypha_cluster.features.launcher.terms import LauncherSettings
from hypha_cluster.features.mounts import MountSettings
from hypha_cluster.identity.access import Identity
from hypha_cluster.wiring import Chosen
from tests.http_optional_routes import OPTIONAL_ROWS, TOOLS
from tests.http_routes import ROWS
from tests.http_row import Row
from tests.in_process import served
from tests.raw_client import RawClient
from tests.token_rig import SECRET, token_of

ANN = Identity("ann", is_anonymous=False, email="ann@example.org")


class Lab(NamedTuple):
    """app: what is installed, with its workspace."""

    url: str
    app: str


@pytest.fixture
def features(tmp_path: Path) -> Chosen:
    """All that is built in, with everything turned on."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "index.html").write_text("The tools of the lab")
    (tools / "a.txt").write_text("0123456789")
    (tools / ".hidden").write_text("hidden")
    (tmp_path / "secret").write_text("secret")
    wanted = [LauncherSettings(enable_server_apps=True), MountSettings(f"{TOOLS}:{tools}")]
    chosen = {type(settings): settings for settings in wanted}
    return [(kind, chosen.get(kind.Settings) or kind.Settings()) for kind in BUILT_IN]


@pytest.fixture
def config(valkey_url: str, redis_prefix: str) -> Config:
    return Config(port=0, jwt_secret=SECRET, redis_url=valkey_url, redis_prefix=redis_prefix)


@pytest.fixture
async def lab(config: Config, features: Chosen) -> AsyncIterator[Lab]:
    async with (
        served(config, features) as (url, _),
        await RawClient.connect(url, token=token_of(ANN)) as ann,
    ):
        source, manager = "api.export({ add: (a, b) => a + b });", "public/workspace-manager"
        install = "services.server-apps.install"
        app = await ann.call(manager, install, source, config={"type": "window"})
        yield Lab(url, app["id"])


@pytest.mark.parametrize(
    "row", OPTIONAL_ROWS, ids=[f"{row.method} {row.path} {row.status}" for row in OPTIONAL_ROWS]
)
async def test_a_request_is_answered_as_the_table_says(lab: Lab, row: Row) -> None:
    token = token_of(ANN) if row.token == "member" else row.token
    given = {"Authorization": token, "Accept": row.accept}
    headers = {name: value for name, value in given.items() if value}
    async with httpx2.AsyncClient(trust_env=False) as client:
        url = lab.url + row.path.replace("{app}", lab.app)
        answer = await client.request(row.method, url, content=row.body, headers=headers)

    assert answer.status_code == row.status, answer.text
    assert row.says in answer.text


async def test_every_route_is_in_a_table(config: Config, features: Chosen) -> None:
    """Whoever adds one adds rows to tests/http_optional_routes.py; docs/http.md is made of them."""
    app = create_app(config, features)
    async with app.router.lifespan_context(app):
        routes = {getattr(route, "path", "") for route in app.router.routes}

    assert routes == {row.route for row in (*ROWS, *OPTIONAL_ROWS) if row.route}
