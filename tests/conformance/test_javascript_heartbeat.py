"""A call may outlast the method timeout, as long as the callee shows that it lives."""

import asyncio
from functools import partial

import pytest

from tests.browser_client import BrowserClient, Connection
from tests.conformance.python_scene import Connect
from tests.gateways import Hub
from tests.python_client import NEWEST, Local

pytestmark = [pytest.mark.browser, pytest.mark.clients]
pytest_plugins = ["tests.browser"]

METHOD_TIMEOUT = 5  # seconds, for who calls
DURATION = 12  # seconds, of the call


async def test_a_long_call_ends_in_its_result(
    hub: Hub, every_page: list[BrowserClient], connect: Connect
) -> None:
    """All releases side by side, with each other and with Python, as each call takes its time."""
    callers = [await page.connect(hub.second, method_timeout=METHOD_TIMEOUT) for page in every_page]

    outcomes = await asyncio.gather(
        *map(partial(_call_a_page, hub), callers, every_page[::-1]),
        *(_call_a_script(hub, caller, connect) for caller in callers),
        *(_called_by_a_script(hub, caller, connect) for caller in callers),
    )

    assert outcomes == ["finished"] * 3 + ["slept"] * 3 + ["finished"] * 3


async def _call_a_page(hub: Hub, caller: Connection, page: BrowserClient) -> object:
    provider = await caller.invite(page, hub.first)
    await provider.register("page")
    return await caller.call("page", "slow", DURATION)


async def _call_a_script(hub: Hub, caller: Connection, connect: Connect) -> object:
    token = await caller.token()
    script = await connect(NEWEST, hub.first, workspace=caller.workspace, token=token)
    await script["register_service"]({"id": "script", "sleep": Local("sleep")})
    return await caller.call("script", "sleep", DURATION)


async def _called_by_a_script(hub: Hub, provider: Connection, connect: Connect) -> object:
    await provider.register("called-by-a-script")
    script = await connect(
        NEWEST,
        hub.first,
        workspace=provider.workspace,
        token=await provider.token(),
        method_timeout=METHOD_TIMEOUT,
    )
    service = await script["get_service"]("called-by-a-script")
    return await service["slow"](DURATION)
