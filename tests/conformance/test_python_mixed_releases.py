"""Clients of different releases work together."""

import pytest

from tests.conformance.python_scene import Pair, refusal_of, unique
from tests.gateways import Hub
from tests.python_client import NEWEST, OLDEST, Local, NewArray, Recorder

pytestmark = pytest.mark.clients

mixed = pytest.mark.parametrize(
    ("release", "other"),
    [
        (OLDEST, NEWEST),
        (NEWEST, OLDEST),
        (NEWEST, "0.5.44"),
        ("0.5.44", OLDEST),
        ("0.5.16", "0.5.48.post2"),
        ("0.5.48.post2", "0.5.32"),
    ],
)


@mixed
async def test_a_service_of_one_release_serves_another(
    hub: Hub, release: str, other: str, pair: Pair
) -> None:
    provider, caller = await pair(hub, release, other)
    await provider["register_service"](
        {
            "id": "everything",
            "config": {"require_context": ["who_calls"]},
            "add": Local("add"),
            "awkward": Local("awkward"),
            "who_calls": Local("who_calls"),
            "counters": {"new": Local("new_counter")},
        }
    )

    everything = await caller["get_service"]("everything")

    assert await everything["add"](3, b=4) == 7
    assert await everything["awkward"](flag=1) == {"options": {"x": [1, "a:b"]}, "flag": 1}
    assert (await everything["who_calls"]())["from"] == await caller.address()
    counter = await everything["counters"]["new"]()
    assert await counter["increment"](by=2) == 2


@mixed
async def test_errors_and_callbacks_cross_releases(
    hub: Hub, release: str, other: str, pair: Pair
) -> None:
    provider, caller = await pair(hub, release, other)
    await provider["register_service"](
        {
            "id": "worker",
            "fail": Local("fail"),
            "fail_later": Local("fail_later"),
            "apply": Local("apply"),
            "count_to": Local("count_to"),
        }
    )
    worker = await caller["get_service"]("worker")
    progress = Recorder(unique("progress"))

    assert await worker["count_to"](3, progress) == "done"
    assert await caller.client.recorded(progress, 3) == [[0], [1], [2]]
    for function in ("fail", "fail_later"):
        assert "out of paper" in await refusal_of(worker[function]("out of paper"))
    assert "no thanks" in await refusal_of(worker["apply"](Local("fail_later"), "no thanks"))


@mixed
async def test_large_arrays_cross_releases(hub: Hub, release: str, other: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release, other)
    await provider["register_service"]({"id": "gallery", "echo": Local("echo")})
    gallery = await caller["get_service"]("gallery")
    image = NewArray("uint8", (3000, 1000))

    assert await gallery["echo"](image) == await caller.client.describe(image)


# The oldest cannot be the caller here: it takes a heartbeat that comes while it is still sending
# for an error, and the newer provider gives up then.
@pytest.mark.parametrize(("release", "other"), [(OLDEST, NEWEST), (NEWEST, "0.5.16")])
async def test_large_arrays_for_callbacks_cross_releases(
    hub: Hub, release: str, other: str, pair: Pair
) -> None:
    provider, caller = await pair(hub, release, other)
    await provider["register_service"]({"id": "worker", "apply": Local("apply")})
    worker = await caller["get_service"]("worker")
    image = NewArray("uint8", (3000, 1000))

    assert await worker["apply"](Local("echo"), image) == await caller.client.describe(image)
