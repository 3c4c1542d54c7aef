"""Clients that open connections of their own accord, as the published ones do at times."""

import asyncio

import pytest

from tests.conformance.python_scene import Connect, colleague, eventually, refusal_of, unique
from tests.conftest import GatewayFactory
from tests.gateways import Hub
from tests.python_client import RELEASES, Local, PythonClient, Recorder, releases_since

pytestmark = pytest.mark.clients


# These have no guard against it: whatever sends while there is no connection opens one.
@pytest.mark.parametrize("release", ["0.5.6", "0.5.16"])
async def test_who_connects_twice_at_once_settles_on_one_connection(hub: Hub, release: str) -> None:
    with PythonClient(release) as alone:
        client = await alone.connect(hub.second)
        await client["register_service"]({"id": "mirror", "echo": Local("echo")})

        await client.reopen(times=3)

        mirror = await client["get_service"]("mirror")
        for number in range(100):
            assert await mirror["echo"](number) == number
        assert alone.log().count("Connection is broken") <= 3


async def test_who_left_stays_away_although_a_function_of_theirs_goes_on(
    hub: Hub, connect: Connect
) -> None:
    await asyncio.gather(*(stays_away(hub, release, connect) for release in RELEASES))


async def stays_away(hub: Hub, release: str, connect: Connect) -> None:
    caller = await connect(release, hub.first, method_timeout=2)
    provider = await colleague(connect, caller, release, hub.second, method_timeout=2)
    provider_id = await provider.client_id()
    name = unique("worker")
    await provider["register_service"]({"id": name, "work": Local("work_for_ever")})
    worker = await caller["get_service"](name)
    started = Recorder(unique("started"))
    working = asyncio.create_task(refusal_of(worker["work"](started)))
    await caller.client.recorded(started, 1)

    await provider["disconnect"]()
    await working

    # The function's next heartbeat opens a connection, unless it is refused.
    async def has_tried() -> bool:
        return f"heartbeat timer: services.{name}.work" in provider.client.log()

    await eventually(has_tried)
    assert provider_id not in await caller["list_clients"]()


# Those that spin for good if they are closed while they compute.
@pytest.mark.parametrize("release", releases_since("0.5.32"))
async def test_who_computes_for_longer_than_between_two_pings_stays_connected(
    gateway_factory: GatewayFactory, release: str
) -> None:
    gateway = gateway_factory(ping_interval=0.2, ping_timeout=30.0)
    with PythonClient(release) as program:
        client = await program.connect(gateway.url)
        program.freeze()
        await asyncio.sleep(2)
        program.thaw()

        assert await client["echo"]("here") == "here"
        assert "Connection is broken" not in program.log()
        assert "is suspended" not in gateway.log()
