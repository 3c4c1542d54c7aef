"""Whoever wants something of a client that is not there is told so, and need not wait."""

import asyncio
import time

import pytest

from tests.conformance.python_scene import Connect, Pair, colleague, every_release, refusal_of
from tests.gateways import SECOND, Hub
from tests.python_client import Connection, Local, Recorder, Remote

pytestmark = pytest.mark.clients

AT_ONCE = 1 * SECOND


@every_release
async def test_a_function_of_a_client_that_left_is_an_error(
    hub: Hub, release: str, connect: Connect
) -> None:
    caller = await connect(release, hub.first)
    provider = await colleague(connect, caller, release, hub.second)
    echo = await offered(provider, caller)

    await provider["disconnect"]()

    await refusal_of(echo("anybody there?"), within=AT_ONCE)
    await refusal_of(echo("anybody there?"), within=AT_ONCE)


@every_release
async def test_a_function_of_a_stranger_that_left_is_an_error(
    hub: Hub, release: str, strangers: Pair
) -> None:
    provider, caller = await strangers(hub, release)
    echo = await offered(provider, caller)

    await provider["disconnect"]()

    await refusal_of(echo("anybody there?"), within=AT_ONCE)


@every_release
async def test_a_service_of_nobody_is_an_error(hub: Hub, release: str, pair: Pair) -> None:
    other, caller = await pair(hub, release)
    here = caller.workspace
    there = await other.client_id()

    for query in (
        "nobody:default",
        f"{here}/nobody:default",
        f"{here}/nobody",
        "no-such-workspace/nobody:default",
        f"{there}:no-such-service",
        f"{here}/{there}:no-such-service",
    ):
        await refusal_of(caller["get_service"](query), within=AT_ONCE)


@every_release
async def test_a_service_of_a_client_that_left_is_an_error(
    hub: Hub, release: str, connect: Connect
) -> None:
    caller = await connect(release, hub.first)
    provider = await colleague(connect, caller, release, hub.second)
    await offered(provider, caller)
    address = await provider.address()

    await provider["disconnect"]()

    await refusal_of(caller["get_service"](f"{address}:mirror"), within=AT_ONCE)


@every_release
async def test_a_made_up_address_is_an_error(hub: Hub, release: str, connect: Connect) -> None:
    caller = await connect(release, hub.second)

    for address in ("nobody", f"{caller.workspace}/nobody", "no-such-workspace/nobody"):
        method = {
            "_rtype": "method",
            "_rtarget": address,
            "_rmethod": "services.built-in.ping",
            "_rpromise": True,
        }
        ping = await caller.rpc("_generate_remote_method", method)
        await refusal_of(ping("ping"), within=AT_ONCE)


@every_release
async def test_a_call_ends_when_the_provider_leaves_in_the_middle(
    hub: Hub, release: str, connect: Connect
) -> None:
    caller = await connect(release, hub.first)
    provider = await colleague(connect, caller, release, hub.second)
    await provider["register_service"]({"id": "worker", "work": Local("work_for_ever")})
    worker = await caller["get_service"]("worker")
    started = Recorder(f"started by {await caller.client_id()}")
    working = asyncio.create_task(refusal_of(worker["work"](started)))
    await caller.client.recorded(started, 1)

    left_at = time.monotonic()
    await provider["disconnect"]()
    await working

    assert time.monotonic() - left_at < 2 * AT_ONCE


@every_release
async def test_a_large_argument_for_nobody_is_an_error(
    hub: Hub, release: str, connect: Connect
) -> None:
    caller = await connect(release, hub.first)
    provider = await colleague(connect, caller, release, hub.second)
    echo = await offered(provider, caller)
    await provider["disconnect"]()

    await refusal_of(echo("x" * 1_500_000), within=2 * AT_ONCE)

    assert await caller["echo"]("still here") == "still here"


async def offered(provider: Connection, caller: Connection) -> Remote:
    """Return to the caller a function that the provider offers to everybody."""
    service = await provider["register_service"](
        {"id": "mirror", "config": {"visibility": "public"}, "echo": Local("echo")}
    )
    echo: Remote = (await caller["get_service"](service["id"]))["echo"]
    assert await echo("before") == "before"
    return echo
