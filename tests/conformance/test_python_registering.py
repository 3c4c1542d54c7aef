"""Python clients register services, replace them, take them back, and export whole programs."""

from typing import Any

import pytest

from tests.conformance.python_scene import Pair, eventually, every_release, refusal_of, unique
from tests.gateways import Hub
from tests.python_client import Connection, Local, NewArray, Recorder, releases_since

pytestmark = pytest.mark.clients


async def ids_of(connection: Connection) -> set[str]:
    return {service["id"] for service in await connection["list_services"]()}


@every_release
async def test_a_registered_service_can_be_called(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)

    service = await provider["register_service"](
        {
            "id": "greeter",
            "name": "The greeter",
            "type": "greeting",
            "config": {"require_context": False, "colour": "green"},
            "hello": Local("hello"),
        }
    )

    assert service["id"] == f"{await provider.address()}:greeter"
    assert service["name"] == "The greeter"
    assert service["type"] == "greeting"
    assert service["config"]["colour"] == "green"
    assert service["config"]["workspace"] == provider.workspace
    assert await ids_of(caller) == await ids_of(provider) == {service["id"]}
    greeter = await caller["get_service"]("greeter")
    assert await greeter["hello"]("John") == "Hello John"


@pytest.mark.parametrize("release", releases_since("0.5.27"))
async def test_a_description_is_kept(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)

    service = await provider["register_service"]({"id": "greeter", "description": "It greets."})

    assert service["description"] == "It greets."
    assert [service["description"] for service in await caller["list_services"]()] == ["It greets."]


@every_release
async def test_what_is_registered_twice_is_refused(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)
    await provider["register_service"]({"id": "sums", "run": Local("add")})

    text = await refusal_of(
        provider["register_service"]({"id": "sums", "run": Local("multiply")}),
    )

    assert "already exists" in text
    sums = await caller["get_service"]("sums")
    assert await sums["run"](3, 4) == 7


@every_release
async def test_a_service_can_be_replaced(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)
    await provider["register_service"]({"id": "sums", "name": "old", "run": Local("add")})

    await provider["register_service"](
        {"id": "sums", "name": "new", "run": Local("multiply")}, overwrite=True
    )

    sums = await caller["get_service"]("sums")
    assert await sums["run"](3, 4) == 12
    assert [service["name"] for service in await caller["list_services"]()] == ["new"]


@every_release
async def test_a_service_can_be_taken_back(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)
    await provider["register_service"]({"id": "kept", "run": Local("add")})
    taken = await provider["register_service"]({"id": "taken", "run": Local("add")})
    service = await caller["get_service"]("taken")

    await provider.rpc("unregister_service", "taken")

    assert await ids_of(caller) == {f"{await provider.address()}:kept"}
    assert await caller["get_service"]("taken") is None
    await refusal_of(caller["get_service"](taken["id"]))
    assert "taken.run" in await refusal_of(service["run"](1, 2))
    await provider["register_service"]({"id": "taken", "run": Local("multiply")})
    again = await caller["get_service"]("taken")
    assert await again["run"](3, 4) == 12


@every_release
async def test_many_services_can_be_registered_at_once(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)
    names = {f"service-{number}" for number in range(12)}

    for name in names:
        await provider["register_service"]({"id": name, "run": Local("echo")})

    assert await ids_of(caller) == {f"{await provider.address()}:{name}" for name in names}


MISTAKES: dict[str, dict[str, Any]] = {
    "no id": {"run": Local("echo")},
    "visibility that does not exist": {"id": "mistake", "config": {"visibility": "secret"}},
    "slash in the id": {"id": "a/b", "run": Local("echo")},
    "colon in the id": {"id": "a:b", "run": Local("echo")},
    "star as id": {"id": "*", "run": Local("echo")},
}


@every_release
async def test_a_mistake_in_a_service_is_reported(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)

    for mistake in MISTAKES.values():
        await refusal_of(provider["register_service"](mistake))

    await provider["register_service"]({"id": "correct", "run": Local("echo")})
    assert await ids_of(caller) == {f"{await provider.address()}:correct"}


@every_release
async def test_a_service_may_be_larger_than_a_frame(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)
    image = NewArray("uint8", (1200, 1000))

    await provider["register_service"]({"id": "atlas", "image": image, "page": Local("echo")})

    atlas = await caller["get_service"]("atlas")
    assert atlas["image"] == await caller.client.describe(image)
    assert await atlas["page"](7) == 7


@every_release
async def test_an_exported_program_is_set_up_and_found(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)
    setup = Recorder(unique("setup"))

    await provider["export"]({"setup": setup, "run": Local("hello")})

    assert await provider.client.recorded(setup, 1) == [[]]
    assert await ids_of(caller) == {f"{await provider.address()}:default"}
    program = await caller["get_plugin"](await provider.client_id())
    assert await program["run"]("John") == "Hello John"
    program = await caller["get_service"](await provider.address())
    assert await program["run"]("Jane") == "Hello Jane"


@every_release
async def test_a_program_that_fails_to_set_up_harms_only_itself(
    hub: Hub, release: str, pair: Pair
) -> None:
    provider, caller = await pair(hub, release)

    await provider["export"]({"setup": Local("fail_later"), "run": Local("hello")})

    await provider["register_service"]({"id": "other", "run": Local("hello")})

    async def is_listed() -> bool:
        return f"{await provider.address()}:other" in await ids_of(caller)

    await eventually(is_listed)
