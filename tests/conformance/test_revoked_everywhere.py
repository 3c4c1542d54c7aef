"""Tokens ended by a function, over HTTP and by command: each open connection ends, everywhere.

Connected are a client by WebSocket, one by server-sent events, and somebody at a WebSocket of a web
application, with what is ended; and beside them somebody with other tokens, who goes on.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import NamedTuple

import pytest
from websockets.asyncio.client import ClientConnection, connect as open_websocket

from hypha_cluster.identity.access import Identity
from tests.conformance.python_scene import eventually
from tests.conftest import GatewayFactory
from tests.gateways import SECOND, environment
from tests.http import ask
from tests.raw_client import LIMIT, RawClient
from tests.sse_client import SseClient
from tests.token_rig import SECRET, token_of
from tests.webapps import Provider

pytestmark = pytest.mark.clients

ANN = Identity("ann", False, "ann@example.org")
BOB = Identity("bob", False, "bob@example.org")
CARL = Identity("carl", False, "carl@example.org", ("admin",))
SERVICE = "services.hypha-login"

Command = Callable[..., Awaitable[None]]


class Victims(NamedTuple):
    """Those who came with one token, each by another way, and the token."""

    token: str
    websocket: RawClient
    events: SseClient
    application: ClientConnection

    async def all_end(self) -> None:
        """Wait until each has been closed by the hub."""
        async with asyncio.timeout(LIMIT):
            await self.websocket.closed()
            await self.events.closed()
            await self.application.wait_closed()

    async def go_on(self) -> None:
        assert await self.websocket.manager("echo", 1) == 1
        assert await self.events.manager("echo", 2) == 2
        await self.application.send("text")
        assert await self.application.recv() == "text"


class Scene(NamedTuple):
    """Two gateways. ann: who ends tokens; child: with one that she made for her workspace."""

    urls: tuple[str, str]
    ann: RawClient
    own: str
    child: Victims
    bob: Victims
    command: Command

    async def refuses(self, token: str) -> None:
        """Wait until no way of either gateway leads in with a token."""
        for url in self.urls:
            await eventually(partial(self._refuses, url, token))

    async def _refuses(self, url: str, token: str) -> bool:
        said = {"Authorization": f"Bearer {token}"}
        page = await ask(f"{url}/ann/apps/funcs/", **said)
        info = await ask(f"{url}/ann/info", **said)
        return 401 <= info.status <= 403 and 401 <= page.status <= 404


@pytest.fixture
async def scene(
    gateway_factory: GatewayFactory, valkey_url: str, redis_prefix: str
) -> AsyncIterator[Scene]:
    first, second = (gateway_factory(jwt_secret=SECRET).url for _ in range(2))
    own = token_of(ANN)

    def run(*words: str, given: str = "") -> None:
        flags = [f"--redis-url={valkey_url}", f"--redis-prefix={redis_prefix}"]
        command = [sys.executable, "-m", "hypha_cluster", *words, *flags]
        done = subprocess.run(
            command,
            env={**environment(), "JWT_SECRET": SECRET},
            input=given,
            capture_output=True,
            text=True,
            timeout=60 * SECOND,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    async def command(*words: str, given: str = "") -> None:
        await asyncio.to_thread(run, *words, given=given)

    async with AsyncExitStack() as stack:
        ann = await stack.enter_async_context(await RawClient.connect(first, token=token_of(ANN)))
        provider = Provider(  # an admin's, who goes on
            first,
            services={"plain": "public", "funcs": "protected"},
            workspace="ann",
            token=token_of(CARL),
        )
        await stack.enter_async_context(provider)

        async def victims(token: str, workspace: str) -> Victims:
            app = f"{second.replace('http', 'ws', 1)}/ann/apps/plain/socket"
            said = {"Authorization": f"Bearer {token}"}
            query = {"token": token, "workspace": workspace}
            return Victims(
                token,
                await stack.enter_async_context(await RawClient.connect(second, **query)),
                await stack.enter_async_context(await SseClient.connect(first, **query)),
                await stack.enter_async_context(open_websocket(app, additional_headers=said)),
            )

        child = await ann.manager("generate_token", {"scopes": ["ann"]})
        yield Scene(
            (first, second),
            ann,
            own,
            await victims(child, "ann"),
            await victims(token_of(BOB), "bob"),
            command,
        )


async def by_function(scene: Scene, kind: str, name: str) -> None:
    await scene.ann.call("public/workspace-manager", f"{SERVICE}.revoke_{kind}", name)


async def over_http(scene: Scene, kind: str, name: str) -> None:
    url = f"{scene.urls[1]}/public/services/hypha-login/revoke_{kind}"
    said = {"Authorization": f"Bearer {scene.own}", "Content_Type": "application/json"}
    answer = await ask(url, json.dumps({kind: name}).encode(), **said)
    assert answer.status == 200, answer


async def by_command(scene: Scene, kind: str, name: str) -> None:
    if kind == "token":
        await scene.command("revoke", "--token-file=-", given=name)
    else:
        await scene.command("revoke", f"--{kind}={name}")


@pytest.mark.parametrize("kind", ["token", "user", "workspace"])
@pytest.mark.parametrize("way", [by_function, over_http, by_command], ids=lambda way: way.__name__)
async def test_what_is_revoked_ends_on_all_gateways_with_its_connections(
    scene: Scene, way: Callable[[Scene, str, str], Awaitable[None]], kind: str
) -> None:
    await scene.child.go_on()
    await scene.bob.go_on()

    await way(scene, kind, scene.child.token if kind == "token" else "ann")

    await scene.child.all_end()
    assert scene.child.application.close_code == 1008
    await scene.refuses(scene.child.token)
    await scene.bob.go_on()


@pytest.mark.parametrize("kind", ["user", "workspace"])
async def test_what_was_made_later_stays(scene: Scene, kind: str) -> None:
    """`before` is a time: what is older goes."""
    function = f"{SERVICE}.revoke_{kind}"
    await scene.ann.call("public/workspace-manager", function, "ann", before=1.0)

    await scene.child.go_on()
    await scene.bob.go_on()
