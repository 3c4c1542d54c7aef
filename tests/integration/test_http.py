"""Services over HTTP: listed, described and called, by whoever may."""

import gzip
import json
import urllib.parse
from collections.abc import AsyncIterator
from typing import NamedTuple

import msgpack
import pytest

from tests.conftest import GatewayFactory
from tests.gateways import Hub
from tests.http import ask
from tests.raw_client import RawClient

MSGPACK = {"Content-Type": "application/msgpack"}


class Lab(NamedTuple):
    """A provider on one gateway, and where to ask for its services: on the other."""

    provider: RawClient
    url: str


@pytest.fixture
async def lab(hub: Hub) -> AsyncIterator[Lab]:
    async with await RawClient.connect(hub.first) as provider:
        await provider.offer("open", "public", echo=lambda kwargs: kwargs, blob=lambda *_: b"\0\1")
        yield Lab(provider, f"{hub.second}/{provider.workspace}")


async def test_the_front_page_names_the_hub(hub: Hub) -> None:
    answer = await ask(hub.first)

    assert answer.value["name"] == "Hypha"
    assert answer.value["version"]


async def test_services_are_listed(lab: Lab) -> None:
    answer = await ask(f"{lab.url}/services")

    assert [info["id"] for info in answer.value] == [f"{lab.provider.client_id}:open"]


async def test_a_service_is_described_with_the_names_of_its_functions(lab: Lab) -> None:
    answer = await ask(f"{lab.url}/services/open")

    assert answer.value["echo"] == {"type": "function", "name": "echo"}
    assert answer.value["config"]["visibility"] == "public"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-5", -5.0),
        ("1e3", 1000.0),
        ("true", "true"),
        ('{"a": [1]}', {"a": [1]}),
        ("{", "{"),
        ("", ""),
        ("häß", "häß"),
    ],
)
async def test_parameters_are_read_as_the_original_hub_does(
    lab: Lab, text: str, value: object
) -> None:
    answer = await ask(f"{lab.url}/services/open/echo?{urllib.parse.urlencode({'x': text})}")

    assert answer.value == {"x": value}


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
async def test_a_json_body_holds_the_arguments(lab: Lab, content_type: str) -> None:
    body = json.dumps({"x": [1, None, {"a": "b"}]}).encode()

    answer = await ask(f"{lab.url}/services/open/echo", body, Content_Type=content_type)

    assert answer.value == {"x": [1, None, {"a": "b"}]}


async def test_msgpack_is_answered_with_msgpack(lab: Lab) -> None:
    body = msgpack.packb({"x": b"\0\xff"})

    answer = await ask(f"{lab.url}/services/open/echo", body, **MSGPACK)

    assert answer.headers["content-type"] == "application/msgpack"
    assert msgpack.unpackb(answer.body) == {"x": b"\0\xff"}


async def test_a_body_may_be_compressed(lab: Lab) -> None:
    body = gzip.compress(b'{"x": 1}')
    headers = {"Content_Type": "application/json", "Content_Encoding": "gzip"}

    answer = await ask(f"{lab.url}/services/open/echo", body, **headers)

    assert answer.value == {"x": 1}


async def test_bytes_are_not_for_json(lab: Lab) -> None:
    url = f"{lab.url}/services/open/blob?x=1"

    refused, answered = await ask(url), await ask(url, Accept="application/msgpack")

    assert (refused.status, answered.status) == (406, 200)
    assert "application/msgpack" in refused.value["detail"]
    assert msgpack.unpackb(answered.body) == b"\0\1"


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("services/nothing/echo", 404, "Service not found"),
        ("services/nobody:open/echo", 404, "Client not found"),
        ("services/open/nothing", 404, "has no 'nothing'"),
        ("services/open/echo.deeper", 404, "has no 'echo.deeper'"),
        ("services/open/echo?_mode=best", 400, "mode"),
        ("services/workspace-manager:default/echo", 404, "WebSocket"),
        ("nothing", 404, "Not Found"),
    ],
)
async def test_what_is_not_there_is_said_so(lab: Lab, path: str, status: int, detail: str) -> None:
    answer = await ask(f"{lab.url}/{path}")

    assert answer.status == status
    assert answer.value["success"] is False
    assert detail in answer.value["detail"]


async def test_an_unknown_workspace_is_not_found(hub: Hub) -> None:
    assert (await ask(f"{hub.first}/no-such-workspace/services")).status == 404


@pytest.mark.parametrize(
    ("body", "content_type", "detail"),
    [
        (b"{", "application/json", "not valid"),
        (b"[1]", "application/json", "a map"),
        (b"\x81\x01\x02", "application/msgpack", "not valid"),
        (b'{"x": 123456789012345678901234567890}', "application/json", "msgpack"),
        (b'{"x": "\\ud800"}', "application/json", "msgpack"),
        (b'{"f": {"_rtype": "method"}}', "application/json", "function"),
    ],
)
async def test_a_bad_body_is_refused(lab: Lab, body: bytes, content_type: str, detail: str) -> None:
    answer = await ask(f"{lab.url}/services/open/echo", body, Content_Type=content_type)

    assert answer.status == 400
    assert detail in answer.value["detail"]


async def test_a_body_of_another_kind_is_refused(lab: Lab) -> None:
    table = {"Content_Type": "text/csv"}

    answer = await ask(f"{lab.url}/services/open/echo", b"x=1", **table)

    assert answer.status == 415
    assert "content-type" in answer.value["detail"]


async def test_a_protected_service_needs_permission(lab: Lab) -> None:
    await lab.provider.offer("closed", "protected", secret=lambda *_: "secret")
    token = await lab.provider.manager("generate_token")
    for service in ("closed", f"{lab.provider.client_id}:closed"):
        url = f"{lab.url}/services/{service}/secret?x=1"

        refused = await ask(url)
        wrong = await ask(url, Authorization="Bearer nonsense")
        allowed = await ask(url, Authorization=f"Bearer {token}")
        bare = await ask(url, Authorization=token)

        assert [refused.status, wrong.status] == [403, 401]
        assert [allowed.value, bare.value] == ["secret", "secret"]


async def test_a_mode_chooses_among_providers(lab: Lab, hub: Hub) -> None:
    token = await lab.provider.manager("generate_token")
    workspace = lab.provider.workspace
    async with await RawClient.connect(
        hub.second, "zz-last", workspace=workspace, token=token
    ) as other:
        await lab.provider.offer("which", "public", name=lambda *_: lab.provider.client_id)
        await other.offer("which", "public", name=lambda *_: other.client_id)
        url = f"{lab.url}/services/which/name?x=1&_mode="

        named = {mode: (await ask(url + mode)).value for mode in ("first", "last")}
        others = {(await ask(url + mode)).value for mode in ("random", "least_busy")}

    assert named == {"first": lab.provider.client_id, "last": "zz-last"}
    assert others <= {lab.provider.client_id, "zz-last"}


async def test_a_page_of_any_origin_may_ask(lab: Lab) -> None:
    answer = await ask(f"{lab.url}/services", Origin="https://page.example")

    assert answer.headers["access-control-allow-origin"] == "https://page.example"


async def test_everything_is_under_the_base_path(gateway_factory: GatewayFactory) -> None:
    base = f"{gateway_factory(base_path='/hub').url}/hub"
    async with await RawClient.connect(base) as provider:
        await provider.offer("open", "public", echo=lambda kwargs: kwargs)

        answer = await ask(f"{base}/{provider.workspace}/services/open/echo?x=1")

    assert answer.value == {"x": 1}
    assert provider.info["public_base_url"] == base
    assert (await ask(f"{base}/health/ready")).status == 200
