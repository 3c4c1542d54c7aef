"""What comes back over HTTP: in the form that was asked for, whatever a service holds."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgpack
import pytest

from hypha_cluster.config import Config
from hypha_cluster.registry.workspaces import Workspaces
from tests.gateways import Hub
from tests.http import ask
from tests.in_process import Flaw, served
from tests.raw_client import MANAGER, RawClient

MSGPACK = "application/msgpack"
ARRAY = {"_rtype": "ndarray", "_rvalue": b"\1\2\3", "_rshape": [3], "_rdtype": "uint8"}
ODD_MEMBERS = {
    "array": ARRAY,
    "raw": b"\0\1",
    "nan": math.nan,
    "inf": [1.5, -math.inf],
    "time": msgpack.Timestamp(1),
}


class Lab(NamedTuple):
    """A provider on one gateway, and where to ask for its services: on the other."""

    provider: RawClient
    url: str
    calls: list[Any]


@pytest.fixture
async def lab(hub: Hub) -> AsyncIterator[Lab]:
    async with await RawClient.connect(hub.first) as provider:
        calls: list[Any] = []

        def note(*args: Any) -> str:
            calls.append(args)
            return "noted"

        await provider.offer("open", "public", note=note)
        yield Lab(provider, f"{hub.second}/{provider.workspace}", calls)


def add_members(lab: Lab, **members: Any) -> None:
    api = lab.provider.functions["services.built-in.get_service"]("open")
    lab.provider.functions["services.built-in.get_service"] = lambda wanted: {**api, **members}


# Looking.


async def test_services_are_listed_by_ids_that_need_no_workspace(lab: Lab) -> None:
    (info,) = (await ask(f"{lab.url}/services")).value

    assert info["id"] == f"{lab.provider.client_id}:open"
    assert (await ask(f"{lab.url}/services/{info['id']}/note")).value == "noted"


@pytest.mark.parametrize("path", ["info", "services", "services/open"])
async def test_msgpack_is_for_looking_too(lab: Lab, path: str) -> None:
    token = await lab.provider.manager("generate_token")

    as_json = await ask(f"{lab.url}/{path}", Authorization=token)
    packed = await ask(f"{lab.url}/{path}", Authorization=token, Accept=MSGPACK)

    assert packed.headers["content-type"] == MSGPACK
    assert msgpack.unpackb(packed.body) == as_json.value


@pytest.mark.parametrize("member", ODD_MEMBERS)
async def test_a_service_with_any_member_can_be_looked_at(lab: Lab, member: str) -> None:
    add_members(lab, **{member: ODD_MEMBERS[member]})

    as_json = await ask(f"{lab.url}/services/open")
    packed = await ask(f"{lab.url}/services/open", Accept=MSGPACK)

    assert as_json.value["note"] == {"type": "function", "name": "note"}
    assert '"type"' in json.dumps(as_json.value[member])
    assert repr(msgpack.unpackb(packed.body)[member]) == repr(ODD_MEMBERS[member])


async def test_a_member_that_json_cannot_carry_is_for_msgpack(lab: Lab) -> None:
    add_members(lab, array=ARRAY)

    refused = await ask(f"{lab.url}/services/open/array")
    packed = await ask(f"{lab.url}/services/open/array", Accept=MSGPACK)

    assert refused.status == 406
    assert MSGPACK in refused.value["detail"]
    assert msgpack.unpackb(packed.body) == ARRAY


async def test_the_public_workspace_is_no_secret(hub: Hub) -> None:
    answer = await ask(f"{hub.first}/public/info")

    assert answer.status == 200
    assert (answer.value["name"], answer.value["visibility"]) == ("public", "public")


async def test_another_workspace_is_shown_to_those_who_may_enter_it(lab: Lab) -> None:
    token = await lab.provider.manager("generate_token")

    assert (await ask(f"{lab.url}/info")).status == 403
    assert (await ask(f"{lab.url}/info", Authorization=token)).value["name"] == (
        lab.provider.workspace
    )


# Failing.


async def test_a_failure_of_the_hubs_own_can_be_read_by_a_page_and_found_in_the_log(
    valkey_url: str, redis_prefix: str, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    config = Config(redis_url=valkey_url, redis_prefix=redis_prefix, port=0)
    Flaw(Workspaces, "get").put_into(monkeypatch)
    async with served(config) as (url, _):
        page = {"Origin": "https://page", "X_Request_ID": "mine-7"}
        answer = await ask(f"{url}/public/info", **page)

    assert answer.status == 500
    assert answer.headers["access-control-allow-origin"] == "https://page"
    assert answer.headers["x-request-id"] == "mine-7"
    assert "mine-7" in answer.value["detail"]
    assert "Traceback" not in answer.value["detail"]
    assert "GET /public/info failed by KeyError; what follows is of request mine-7." in (
        caplog.messages
    )


# Calling.


async def test_whether_a_function_is_there_can_be_asked_without_calling_it(lab: Lab) -> None:
    there = await ask(f"{lab.url}/services/open/note?x=1", method="HEAD")
    absent = await ask(f"{lab.url}/services/open/nothing", method="HEAD")

    assert (there.status, absent.status) == (200, 404)
    assert there.body == b""
    assert lab.calls == []


@pytest.mark.parametrize(
    "headers",
    [{}, {"Content_Type": "application/x-www-form-urlencoded"}, {"Content_Type": MSGPACK}],
)
async def test_a_post_without_a_body_takes_its_arguments_from_the_query(
    lab: Lab, headers: dict[str, str]
) -> None:
    url = f"{lab.url}/services/open/note?name=John&_mode=first"

    answer = await ask(url, b"", **headers)

    assert answer.status == 200
    assert lab.calls == [({"name": "John"},)]


async def test_a_body_comes_before_the_query(lab: Lab) -> None:
    url = f"{lab.url}/services/open/note?name=John&_mode=first"

    await ask(url, b'{"name": "Jane"}', Content_Type="application/json")

    assert lab.calls == [({"name": "Jane"},)]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_another_method_is_refused_with_those_that_are_right(lab: Lab, method: str) -> None:
    answer = await ask(f"{lab.url}/services/open/note", method=method)

    assert answer.status == 405
    assert {"GET", "POST"} <= set(answer.headers["allow"].replace(",", " ").split())
    assert lab.calls == []


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_long_answer_lets_others_have_theirs(hub: Hub, lab: Lab, encoding: str) -> None:
    """While it is written, sent and compressed, another client is answered again and again."""
    lab.provider.functions["services.open.note"] = lambda *_: [7] * 500_000
    url = f"{lab.url}/services/open/note"

    async with await RawClient.connect(hub.second) as other:
        pings = 0
        long = asyncio.create_task(ask(url, Accept_Encoding=encoding))
        while not long.done():
            await other.call(MANAGER, "services.built-in.ping", "ping")
            pings += 1

    answer = await long
    assert answer.status == 200
    assert answer.headers.get("content-encoding", "identity") == encoding
    assert pings > 10
