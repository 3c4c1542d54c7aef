"""A service that asks for it learns who is calling."""

import pytest

from tests.browser_client import BrowserClient, Connection
from tests.gateways import Hub

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.browser"]


async def test_the_context_is_the_last_argument(provider: Connection, caller: Connection) -> None:
    await provider.register("tools", config={"require_context": True})

    context = await caller.call("tools", "context", "argument")

    assert context["from"] == caller.address
    assert context["to"] == provider.address
    assert context["connection_type"] == "websocket"
    assert context["user"]["parent"] == provider.workspace
    assert context["user"]["scopes"] == [provider.workspace]


async def test_only_the_functions_that_ask_for_it_get_it(
    provider: Connection, caller: Connection
) -> None:
    await provider.run(
        """
        await server.registerService({
          id: "tools",
          config: { require_context: ["asking"] },
          asking: (...args) => args.length,
          plain: (...args) => args.length,
        });
        """
    )

    counts = [await caller.call("tools", name, "argument") for name in ("asking", "plain")]

    assert counts == [2, 1]


async def test_a_stranger_is_seen_as_such(
    hub: Hub, provider: Connection, javascript: BrowserClient
) -> None:
    name = f"guestbook-{provider.client_id}"
    await provider.register(name, config={"require_context": True, "visibility": "public"})
    stranger = await javascript.connect(hub.second)

    context = await stranger.call(name, "context")

    assert context["from"] == stranger.address
    assert context["user"]["id"] == stranger.workspace
    assert context["user"]["is_anonymous"] is True


async def test_nobody_can_pretend_to_be_another(provider: Connection, caller: Connection) -> None:
    await provider.register("tools", config={"require_context": True})

    context = await caller.run(
        """
        const tools = await server.getService("tools");
        server.rpc._client_id = "somebody-else";
        try {
          const silence = new Promise(done => setTimeout(() => done("unanswered"), 500));
          return await Promise.race([tools.context(), silence]);
        } catch (error) {
          return "refused";
        } finally {
          server.rpc._client_id = client_id;
        }
        """
    )

    assert context in ("unanswered", "refused") or context["from"] == caller.address
