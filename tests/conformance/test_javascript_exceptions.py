"""What a function throws reaches whoever called it."""

import pytest

from tests.browser_client import BrowserClient, Connection, JavaScriptError, within
from tests.gateways import Hub

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.browser"]


async def test_the_caller_sees_the_message(provider: Connection, caller: Connection) -> None:
    await provider.register("tools")
    provider.page.tolerate("the dog ate it")

    with within(1), pytest.raises(JavaScriptError, match="the dog ate it"):
        await caller.call("tools", "fail", "the dog ate it")

    assert await caller.call("tools", "add", 1, 2) == 3


async def test_a_message_of_any_language_arrives(provider: Connection, caller: Connection) -> None:
    await provider.register("tools")
    provider.page.tolerate("Größe")

    with pytest.raises(JavaScriptError, match="Größe 中文 🙂 unbekannt"):
        await caller.call("tools", "fail", "Größe 中文 🙂 unbekannt")


@pytest.mark.parametrize(
    "call",
    [
        "server.getWorkspaceInfo('there-is-no-such-workspace')",
        "server.uninstallApplication('there-is-no-such-application')",
        "server.createWorkspace({})",
        "server.generateToken({ scopes: 'not a list' })",
        "server.generateToken({ scopes: ['of-somebody-else'] })",
        "server.set({ no_such_setting: 1 })",
    ],
)
async def test_the_manager_says_what_is_wrong(
    hub: Hub, javascript: BrowserClient, call: str
) -> None:
    connection = await javascript.connect(hub.first)

    with within(1), pytest.raises(JavaScriptError, match=r"\w"):
        await connection.run(f"await {call}")

    assert await connection.run("return await server.echo('still here')") == "still here"
