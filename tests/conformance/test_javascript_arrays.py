"""Large arrays travel both ways between pages and Python scripts."""

import struct

import pytest

from tests.browser_client import BrowserClient, Connection, binary
from tests.conformance.python_scene import Connect
from tests.gateways import Hub
from tests.python_client import Array, Local, NewArray

pytestmark = [pytest.mark.browser, pytest.mark.clients]
pytest_plugins = ["tests.browser"]

CONTEMPORARIES = {"0.5.9": "0.5.16", "0.5.44": "0.5.44", "0.5.59": "0.5.59"}
MEGABYTE = 1024 * 1024


def floats(count: int) -> bytes:
    """What the first floats are that both clients send: 0 to 250, again and again."""
    cycle = struct.pack("<251f", *range(251))
    return (cycle * (count // 251 + 1))[: 4 * count]


@pytest.mark.parametrize("megabytes", [1, 3, 16])
async def test_an_array_goes_from_a_page_to_a_script_and_back(
    hub: Hub, release: str, javascript: BrowserClient, connect: Connect, megabytes: int
) -> None:
    count = megabytes * MEGABYTE // 4
    page = await javascript.connect(hub.first)
    script = await connect(
        CONTEMPORARIES[release], hub.second, workspace=page.workspace, token=await page.token()
    )
    await script["register_service"]({"id": "script", "echo": Local("echo")})

    received = await page.run(
        """
        const script = await server.getService("script");
        return await script.echo(Float32Array.from({ length: count }, (_, index) => index % 251));
        """,
        time_limit=60,
        count=count,
    )

    assert received["_rdtype"] == "float32"
    assert received["_rshape"] == [count]
    assert received["_rvalue"] == binary(floats(count))


@pytest.mark.parametrize("megabytes", [1, 3])
async def test_an_array_goes_from_a_script_to_a_page_and_back(
    hub: Hub, release: str, javascript: BrowserClient, connect: Connect, megabytes: int
) -> None:
    count = megabytes * MEGABYTE // 4
    page = await javascript.connect(hub.first)
    script = await connect(
        CONTEMPORARIES[release], hub.second, workspace=page.workspace, token=await page.token()
    )
    await page.register("page")
    service = await script["get_service"]("page")

    received = await service["echo"](NewArray("float32", (count,)))

    assert received == Array("float32", (count,), binary(floats(count)).sha256)


@pytest.mark.parametrize("megabytes", [1, 3])
async def test_an_array_goes_from_page_to_page_and_back(
    provider: Connection, caller: Connection, megabytes: int
) -> None:
    await provider.register("tools")

    sent, received = await caller.run(
        """
        const tools = await server.getService("tools");
        return [pattern(size), await tools.echo(pattern(size))];
        """,
        size=megabytes * MEGABYTE,
    )

    assert received == sent
