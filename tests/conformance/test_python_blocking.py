"""The blocking API of the Python client, which later releases have."""

import pytest

from tests.conformance.python_scene import Clients, refusal_of
from tests.gateways import Hub
from tests.python_client import Local, NewArray, releases_since

pytestmark = pytest.mark.clients

releases_that_block = pytest.mark.parametrize("release", releases_since("0.5.32"))


@releases_that_block
async def test_a_blocking_client_offers_and_calls(hub: Hub, release: str, clients: Clients) -> None:
    client = clients(release)
    provider = await client.connect_synchronously(hub.first)
    caller = await client.connect_synchronously(
        hub.second, workspace=provider.workspace, token=await provider["generate_token"]()
    )

    service = await provider["register_service"](
        {
            "id": "greeter",
            "config": {"run_in_executor": True},
            "hello": Local("hello"),
            "fail": Local("fail"),
            "echo": Local("echo"),
        }
    )

    greeter = await caller["get_service"]("greeter")
    assert [listed["id"] for listed in await caller["list_services"]()] == [service["id"]]
    assert await greeter["hello"]("John") == "Hello John"
    assert await greeter["hello"](name="Jane") == "Hello Jane"
    assert "out of paper" in await refusal_of(greeter["fail"]("out of paper"))
    image = NewArray("uint8", (1200, 1000))
    assert await greeter["echo"](image) == await client.describe(image)
    await caller["disconnect"]()
    await provider["disconnect"]()


@releases_that_block
async def test_a_blocking_client_works_with_the_others(
    hub: Hub, release: str, clients: Clients
) -> None:
    client = clients(release)
    provider = await client.connect(hub.first)
    await provider["register_service"]({"id": "sums", "add": Local("add")})

    caller = await client.connect_synchronously(
        hub.second, workspace=provider.workspace, token=await provider["generate_token"]()
    )

    sums = await caller["get_service"]("sums")
    assert await sums["add"](3, b=4) == 7
    assert await caller["echo"]({"a": [1]}) == {"a": [1]}
    await caller["disconnect"]()
    await provider["disconnect"]()
