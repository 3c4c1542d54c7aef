"""Arrays that are far larger than a frame go both ways, and arrive as they were."""

import asyncio

import pytest

from tests.conformance.python_scene import Pair, every_release
from tests.gateways import Hub
from tests.python_client import Local, NewArray, releases_since

pytestmark = pytest.mark.clients

MB = 1_000_000


@every_release
@pytest.mark.parametrize("megabytes", [1, 3, 16])
async def test_a_large_array_goes_both_ways(
    hub: Hub, release: str, pair: Pair, megabytes: int
) -> None:
    provider, caller = await pair(hub, release)
    await provider["register_service"](
        {"id": "gallery", "echo": Local("echo"), "new": Local("new_array")}
    )
    gallery = await caller["get_service"]("gallery")
    image = NewArray("uint8", (megabytes, 1000, 1000))
    expected = await caller.client.describe(image)

    assert await gallery["new"]("uint8", list(image.shape)) == expected
    assert await gallery["echo"](image) == expected


@every_release
async def test_the_hub_itself_takes_and_gives_large_arrays(
    hub: Hub, release: str, pair: Pair
) -> None:
    _, caller = await pair(hub, release)

    for shape in ((513, 1000), (3000, 1000)):
        image = NewArray("uint8", shape)
        assert await caller["echo"](image) == await caller.client.describe(image)


@every_release
async def test_arrays_just_around_the_size_of_a_frame_arrive(
    hub: Hub, release: str, pair: Pair
) -> None:
    provider, caller = await pair(hub, release)
    await provider["register_service"]({"id": "gallery", "echo": Local("echo")})
    gallery = await caller["get_service"]("gallery")
    sizes = (511_000, 512_000, 512_500, 513_024, 1_023_000, 1_024_000, 1_025_000)

    async def come_back(size: int) -> bool:
        array = NewArray("uint8", (size,))
        return bool(await gallery["echo"](array) == await caller.client.describe(array))

    assert await asyncio.gather(*(come_back(size) for size in sizes)) == [True] * len(sizes)


# Before 0.5.15 a heartbeat that comes while the client is still sending is an error to it.
@pytest.mark.parametrize("release", releases_since("0.5.15"))
async def test_a_callback_may_get_a_large_array(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)
    await provider["register_service"]({"id": "worker", "apply": Local("apply")})
    worker = await caller["get_service"]("worker")
    image = NewArray("uint8", (1200, 1000))

    back = await worker["apply"](Local("echo"), image)

    assert back == await caller.client.describe(image)
