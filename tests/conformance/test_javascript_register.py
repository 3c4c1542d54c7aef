"""A page registers services and takes them back."""

import pytest

from tests.browser_client import BrowserClient, Connection, JavaScriptError, within
from tests.gateways import Hub

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.browser"]


async def test_a_registered_service_can_be_called(caller: Connection, provider: Connection) -> None:
    info = await provider.register("tools", name="Tools", config={"visibility": "public"})

    assert info["id"] == f"{provider.address}:tools"
    assert info["name"] == "Tools"
    assert info["config"]["visibility"] == "public"
    assert await caller.call("tools", "add", 1, 2) == 3


@pytest.mark.parametrize("overwrite", [None, False, True])
async def test_registering_again_replaces_the_service(
    hub: Hub, javascript: BrowserClient, overwrite: bool | None
) -> None:
    # JavaScript clients take any second registration for one that overwrites.
    connection = await javascript.connect(hub.first)
    await connection.register("tools", name="Old tools")

    info = await connection.register("tools", overwrite=overwrite, name="New tools")

    assert info["name"] == "New tools"
    listed = await connection.list()
    assert [service["name"] for service in listed] == ["New tools"]
    assert await connection.call("tools", "add", 1, 2) == 3


async def test_an_unregistered_service_is_gone(caller: Connection, provider: Connection) -> None:
    await provider.register("kept")
    await provider.register("dropped")

    await provider.unregister("dropped")

    assert [service["name"] for service in await caller.list()] == ["kept"]
    assert await caller.get("dropped") is None
    assert await caller.call("kept", "add", 1, 2) == 3
    with within(1), pytest.raises(JavaScriptError, match="(?i)not found"):
        await caller.get(f"{provider.address}:dropped")


async def test_a_service_can_be_registered_without_asking_the_manager(
    caller: Connection, provider: Connection
) -> None:
    await provider.run(
        "await server.rpc.register_service({ id: 'quiet', greet: name => 'Hi ' + name })"
    )

    assert await caller.call("quiet", "greet", "Ada") == "Hi Ada"


async def test_the_other_name_of_the_function_does_the_same(
    caller: Connection, provider: Connection
) -> None:
    await provider.run("await server.register_service({ id: 'snake', hiss: () => 'sss' })")

    assert await caller.call("snake", "hiss") == "sss"


async def test_a_service_holds_values_lists_and_functions_in_functions(
    caller: Connection, provider: Connection
) -> None:
    await provider.run(
        """
        await server.registerService({
          id: "rich",
          version: 3,
          tags: ["a", "b"],
          nested: { deeper: { double: x => 2 * x } },
        });
        """
    )

    answer = await caller.run(
        """
        const rich = await server.getService("rich");
        return [rich.version, rich.tags, await rich.nested.deeper.double(21)];
        """
    )

    assert answer == [3, ["a", "b"], 42]


async def test_an_object_of_a_class_is_a_service(caller: Connection, provider: Connection) -> None:
    await provider.run(
        """
        class Greeter {
          id = "greeter";
          greeting = "Hello";
          greet(name) { return `${this.greeting} ${name}`; }
        }
        await server.rpc.register_service(new Greeter());
        """
    )

    assert await caller.call("greeter", "greet", "Ada") == "Hello Ada"


async def test_two_clients_may_offer_the_same_service_id(
    caller: Connection, provider: Connection
) -> None:
    await provider.run("await server.registerService({ id: 'who', me: () => 'provider' })")
    await caller.run("await server.registerService({ id: 'who', me: () => 'caller' })")

    assert await caller.call(f"{provider.client_id}:who", "me") == "provider"
    assert await provider.call(f"{caller.client_id}:who", "me") == "caller"


async def test_a_visibility_that_does_not_exist_is_refused(
    hub: Hub, javascript: BrowserClient
) -> None:
    connection = await javascript.connect(hub.first)
    javascript.tolerate("Assertion|assert")

    with within(1), pytest.raises(JavaScriptError):
        await connection.register("odd", config={"visibility": "secret"})

    assert await connection.list() == []
