"""What programs match in the answers of `get_service` and of calls to who is not there."""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from hypha_cluster.protocol.limits import AWAY_AFTER
from tests.gateways import SECOND, Hub
from tests.metrics import metric
from tests.raw_client import LIMIT, RawClient, Rejected, call_envelope


class Lab(NamedTuple):
    """Two clients of one workspace, on two gateways."""

    provider: RawClient
    caller: RawClient
    hub: Hub


@pytest.fixture
async def lab(hub: Hub) -> AsyncIterator[Lab]:
    async with await RawClient.connect(hub.first) as provider:
        token = await provider.manager("generate_token")
        caller = await RawClient.connect(hub.second, workspace=provider.workspace, token=token)
        async with caller:
            yield Lab(provider, caller, hub)


@pytest.mark.parametrize("form", ["my-plugin-2:echo", "{workspace}/my-plugin-2:echo"])
async def test_the_id_of_an_unknown_client_stands_behind_the_colon(lab: Lab, form: str) -> None:
    query = form.format(workspace=lab.caller.workspace)

    with pytest.raises(Rejected, match=r"Client not found: my-plugin-2 \(") as refused:
        await lab.caller.manager("get_service", query)

    assert lab.caller.workspace in str(refused.value)


async def test_so_it_does_when_the_client_is_called(lab: Lab) -> None:
    with pytest.raises(Rejected, match=r"Client not found: my-plugin-2 \("):
        await lab.caller.place(call_envelope("my-plugin-2", "services.echo.echo"), {"args": []})


@pytest.mark.parametrize("query", ["nothing", {"id": "nothing", "workspace": "{workspace}"}])
async def test_a_name_that_nobody_offers_is_none(lab: Lab, query: str | dict[str, str]) -> None:
    if isinstance(query, dict):
        query = {key: value.format(workspace=lab.caller.workspace) for key, value in query.items()}

    assert await lab.caller.manager("get_service", query) is None


async def test_a_provider_that_leaves_while_it_is_asked_is_nobody(lab: Lab) -> None:
    await lab.provider.offer("frail", "public")
    lab.provider.functions["services.built-in.get_service"] = lambda wanted: lab.provider.leave()

    assert await lab.caller.manager("get_service", "frail") is None


async def test_a_provider_whose_connection_broke_is_said_to_be_away(lab: Lab) -> None:
    """It is listed for as long as its place is kept, so it is not nobody."""
    await lab.provider.offer("frail")
    await broken_off(lab)
    asking = call_envelope("workspace-manager", "services.default.get_service")

    with pytest.raises(Rejected, match=f"Client {lab.provider.address} is away: its connection"):
        await lab.caller.place(asking, {"args": ["frail"]}, limit=(AWAY_AFTER + 20) * SECOND)
    assert "frail" in str(await lab.caller.manager("list_services"))


async def broken_off(lab: Lab) -> None:
    """The provider's connection breaks; returns when its gateway knows."""

    def connections() -> float:
        return metric(lab.hub.first, "hypha_connections")

    before = await asyncio.to_thread(connections)
    lab.provider.break_off()
    async with asyncio.timeout(LIMIT):
        while await asyncio.to_thread(connections) >= before:  # noqa: ASYNC110  (only it knows)
            await asyncio.sleep(0.02)


async def test_another_provider_is_asked_when_one_leaves_meanwhile(lab: Lab) -> None:
    token = await lab.provider.manager("generate_token")
    mate = await RawClient.connect(
        lab.hub.first, "zz-lasting", workspace=lab.provider.workspace, token=token
    )
    async with mate:
        await lab.provider.offer("shared", "public")
        await mate.offer("shared", "public")
        lab.provider.functions["services.built-in.get_service"] = lambda wanted: (
            lab.provider.leave()
        )
        # The provider's id is made up and begins with "raw-".
        found = await lab.caller.manager("get_service", {"id": "shared", "mode": "first"})

    assert found["id"] == f"{mate.address}:shared"


async def test_a_provider_that_was_asked_for_by_its_id_is_said_to_have_left(lab: Lab) -> None:
    full_id = await lab.provider.offer("frail", "public")
    lab.provider.functions["services.built-in.get_service"] = lambda wanted: lab.provider.leave()

    with pytest.raises(Rejected, match="left before it answered"):
        await lab.caller.manager("get_service", full_id)


async def test_a_running_service_is_found_though_it_might_be_launched(lab: Lab) -> None:
    await lab.provider.offer("run")

    found = await lab.caller.manager("get_service", {"id": "run", "launch": True})

    assert found["id"] == f"{lab.provider.address}:run"
    with pytest.raises(Rejected, match="cannot launch"):
        await lab.caller.manager("get_service", {"id": "walk", "launch": True})


async def test_a_service_that_the_hub_has_not_is_not_found_whoever_asks(lab: Lab) -> None:
    with pytest.raises(Rejected, match="Service not found"):
        await lab.caller.manager("get_service", "public/workspace-manager:nothing")


async def test_no_workspace_means_ones_own(lab: Lab) -> None:
    await lab.provider.offer("here")

    assert await lab.caller.manager("list_services", {"workspace": None}) == (
        await lab.caller.manager("list_services")
    )
