"""Clients register services through the hub, in whichever way they tell it of them."""

from typing import Any

import pytest

from tests.conftest import GatewayFactory
from tests.gateways import Hub
from tests.raw_client import (
    MANAGER,
    RawClient,
    Received,
    call_envelope,
    promise_of,
)

REGISTER = "services.built-in.register_service"


def info_of(client: RawClient, service: str) -> dict[str, Any]:
    config = {"visibility": "protected", "require_context": False}
    return {"id": f"{client.client_id}:{service}", "name": "Tools", "config": config}


async def begin_to_register(client: RawClient, service: str) -> tuple[str, Received]:
    """Ask the hub; return the session of that call, and what the hub asks the client."""
    session = client.new_session()
    envelope = call_envelope(MANAGER, "services.default.register_service", session=session)
    promise = promise_of(client.client_id, session)
    await client.send(envelope, {"args": [{"id": service}], "promise": promise})
    return session, await client.until(lambda received: received.method == REGISTER)


async def answer(client: RawClient, call: Received, value: Any) -> None:
    resolve = call.body["promise"]["resolve"]
    await client.send(call_envelope(resolve["_rtarget"], resolve["_rmethod"]), {"args": [value]})


async def announce(client: RawClient, *services: str) -> None:
    info = {"id": client.client_id, "services": [info_of(client, each) for each in services]}
    await client.manager("update_client_info", info)


async def listed(client: RawClient) -> list[str]:
    return sorted(info["id"] for info in await client.manager("list_services"))


async def test_a_client_need_not_send_the_list_of_its_services(hub: Hub) -> None:
    async with await RawClient.connect(hub.first) as client:
        await announce(client, "other")
        client.functions[REGISTER] = lambda api, options: info_of(client, api["id"])

        info = await client.manager("register_service", {"id": "tools"}, overwrite=True)

        assert info["id"] == f"{client.address}:tools"
        asked = next(received for received in client.received if received.method == REGISTER)
        assert asked.args[1] == {"overwrite": True, "notify": False}
        names = [f"{client.address}:other", f"{client.address}:tools"]
        assert await listed(client) == names


@pytest.mark.parametrize("service", ["tools", "default"])
async def test_a_client_may_send_it_all_the_same(hub: Hub, service: str) -> None:
    async with await RawClient.connect(hub.first) as client:
        client.functions["services.built-in.get_service"] = lambda wanted: {"id": wanted}
        session, asked = await begin_to_register(client, service)

        await announce(client, service)
        await answer(client, asked, info_of(client, service))

        await client.until(lambda received: received.method == f"{session}.resolve")
        assert await listed(client) == [f"{client.address}:{service}"]


async def test_what_is_taken_back_at_once_is_not_listed(hub: Hub) -> None:
    async with await RawClient.connect(hub.first) as client:
        session, asked = await begin_to_register(client, "tools")

        await answer(client, asked, info_of(client, "tools"))
        await announce(client)

        await client.until(lambda received: received.method == f"{session}.resolve")
        assert await listed(client) == []


async def test_a_client_may_move_to_another_gateway_meanwhile(
    gateway_factory: GatewayFactory,
) -> None:
    urls = [gateway_factory().url for _ in range(2)]
    async with await RawClient.connect(urls[0]) as before:
        session, asked = await begin_to_register(before, "tools")
        token = before.info["reconnection_token"]
        place = {"workspace": before.workspace, "reconnection_token": token}
        async with await RawClient.connect(urls[1], before.client_id, **place) as client:
            await answer(client, asked, info_of(client, "tools"))

            asked_again = await client.until(lambda received: received.method == REGISTER)
            await announce(client, "tools")
            await answer(client, asked_again, info_of(client, "recovered"))

            await client.until(lambda received: received.method == f"{session}.resolve")
            assert await listed(client) == [f"{client.address}:tools"]
