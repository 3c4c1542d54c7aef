"""What the registry keeps is plain data: no client can be sent through it what it cannot read."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgpack
import pytest

from hypha_cluster.protocol.limits import WORKSPACE_SETTINGS
from tests.conftest import GatewayFactory
from tests.gateways import Gateway, status
from tests.raw_client import RawClient, Rejected

ODD: dict[str, Any] = {
    "a reference": {"_rtype": "method"},
    "a reference in depth": [{"a": [{"_rtype": "method", "_rtarget": "x", "_rmethod": "y"}]}],
    "an array": {"_rtype": "ndarray", "_rvalue": b"\0", "_rshape": [1], "_rdtype": "uint8"},
    "not a number": math.nan,
    "infinite": [-math.inf],
    "bytes": b"\0",
    "a time": msgpack.Timestamp(1),
    "an extension": {"a": msgpack.ExtType(5, b"\0")},
    "a number for a key": {1: "a"},
    "nothing for a key": {"a": {None: 1}},
}


@pytest.fixture
def gateway(gateway_factory: GatewayFactory) -> Gateway:
    return gateway_factory()


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[RawClient]:
    async with await RawClient.connect(gateway.url) as client:
        client.functions["services.built-in.register_service"] = lambda api, *options: api
        await client.offer("whole", "public")
        yield client


def service(client: RawClient, **fields: Any) -> dict[str, Any]:
    config = {"visibility": "public", **fields.pop("config", {})}
    return {"id": f"{client.client_id}:odd", "config": config, **fields}


def application(**fields: Any) -> dict[str, Any]:
    return {"id": "app", "name": "App", "tags": [], "type": "x", **fields}


def announcements(client: RawClient, odd: Any) -> Iterator[tuple[str, Any]]:
    """All ways by which a client can have the registry keep something, each with its argument."""
    for offered in (
        service(client, config={"flags": odd}),
        service(client, config={"flags": [odd]}),
        service(client, config={"require_context": odd}),
        service(client, docs={"a": odd}),
    ):
        yield "update_client_info", {"id": client.client_id, "services": [offered]}
    yield "install_application", application(more=odd)
    yield "install_application", application(id=odd)
    for field in ("docs", "covers", "allow_list", "deny_list", "applications", "interfaces"):
        for value in ({"a": odd}, [odd]):
            yield "set", {field: value}
            workspace = {"name": "lab", "owners": [], "visibility": "protected"}
            yield "create_workspace", {**workspace, field: value}


@pytest.mark.parametrize("name", ODD)
async def test_nothing_is_kept_that_a_client_cannot_be_sent(
    gateway: Gateway, client: RawClient, name: str
) -> None:
    for function, argument in announcements(client, ODD[name]):
        with pytest.raises(Rejected):
            await client.manager(function, argument)

    async with await RawClient.connect(gateway.url) as other:
        listed = await other.manager("list_services", "public")
    offered = [each["id"] for each in listed if not each["id"].startswith("public/")]
    assert offered == [f"{client.address}:whole"]
    info = await client.manager("get_workspace_info")
    assert (info["docs"], info["applications"], info["interfaces"]) == (None, {}, {})
    url = f"{gateway.url}/{client.workspace}/services"
    assert await asyncio.to_thread(status, url) == 200


async def test_it_is_said_what_is_not_plain_and_where(client: RawClient) -> None:
    offered = service(client, config={"flags": ["a", {"b": {"_rtype": "method"}}]})

    with pytest.raises(Rejected, match=r"'odd'.*'_rtype' at config\.flags\[1\]\.b\."):
        await client.manager("update_client_info", {"id": client.client_id, "services": [offered]})
    with pytest.raises(Rejected, match=r"'covers' .* bytes at \[0\]\."):
        await client.manager("set", {"covers": [b"x"]})


async def test_the_settings_of_a_workspace_are_bounded(client: RawClient) -> None:
    share = "x" * (WORKSPACE_SETTINGS // 4)
    for number in range(3):
        await client.manager("install_application", application(id=f"a{number}", source=share))

    with pytest.raises(Rejected, match=str(WORKSPACE_SETTINGS)):
        await client.manager("install_application", application(id="last", source=share))

    assert len((await client.manager("get_workspace_info"))["applications"]) == 3


FUNCTIONS: dict[str, int] = {  # of the manager's, with as many arguments as they take
    "echo": 1,
    "log": 1,
    "register_service": 1,
    "update_client_info": 1,
    "list_services": 1,
    "get_service": 1,
    "generate_token": 1,
    "create_workspace": 2,
    "get_workspace_info": 1,
    "set": 1,
    "install_application": 1,
    "uninstall_application": 1,
}
ARGUMENTS: list[Any] = [
    *ODD.values(),
    *(None, True, -1, 2**63, 1.5, "", "x" * 1000, "a/b:c", "a{b}*", "\0"),
    *([], ["x"], {}, [[]]),
    *({"a": 1}, {"name": b"x"}, {"name": ["x"]}, {"id": ["x"]}, {"id": b"x"}, {"id": {"a": 1}}),
    *(
        {"workspace": ["x"]},
        {"workspace": b"x"},
        {"id": "x", "mode": ["x"]},
        {"id": "x", "config": 1},
    ),
    {"id": "x", "workspace": {"a": 1}},
    {"name": "x", "owners": [b"x", {}], "visibility": "public"},
    {"name": "x", "owners": [], "visibility": ["public"]},
    {"name": "x", "owners": [], "visibility": "public", "covers": [b"x"]},
    {"scopes": b"x", "expires_in": math.nan},
    {"scopes": [["x"]]},
    {"expires_in": 2**63},
    {"expires_in": math.inf},
    {"email": ["x"], "parent_client": {"a": b"x"}},
    {"parent_client": b"x"},
    {"name": "x", "id": [1], "tags": [], "type": "x"},
    {"type": {"a": 1}},
    {"flags": b"x"},
]


@pytest.mark.parametrize("function", FUNCTIONS)
async def test_an_odd_argument_is_the_callers_mistake(
    gateway: Gateway, client: RawClient, function: str
) -> None:
    """Nobody else is told, and no operator is called out of bed for it."""
    others = [True] * (FUNCTIONS[function] - 1)
    said = []
    for argument in ARGUMENTS:
        try:
            await client.manager(function, argument, *others)
        except Rejected as error:
            said.append(str(error))

    assert not [text for text in said if "The hub failed" in text or len(text) > 2_000]
    assert " ERROR " not in gateway.log()
    assert " WARNING " not in gateway.log()
    assert "Traceback" not in gateway.log()


async def test_private_is_protected(gateway: Gateway, client: RawClient) -> None:
    """The documentation of the original has people write it."""
    offered = service(client, config={"visibility": "private"})

    await client.manager("update_client_info", {"id": client.client_id, "services": [offered]})
    await client.manager("set", {"visibility": "private"})

    own = await client.manager("list_services")
    assert [each["config"]["visibility"] for each in own] == ["protected"]
    assert (await client.manager("get_workspace_info"))["visibility"] == "protected"
    made = {"name": f"lab-{time.time_ns()}", "owners": [], "visibility": "private"}
    assert (await client.manager("create_workspace", made))["visibility"] == "protected"
    assert gateway.log().count("is taken as 'protected'") == 3
