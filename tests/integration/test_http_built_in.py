"""What a client needs for itself is out of reach over HTTP: its caches, and how it registers.

Over a WebSocket the hub checks what goes into a message cache; nothing that comes over HTTP does.
"""

import json
from collections.abc import AsyncIterator
from typing import Final

import pytest

from tests.gateways import Hub
from tests.http import ask
from tests.python_client import NEWEST, Local, PythonClient
from tests.raw_client import CACHE, RawClient, call_envelope, frame, pack

OWN: Final = {  # everything in a client's built-in service but `ping`
    "message_cache.create": {"key": "k"},
    "message_cache.append": {"key": "k", "data": "x"},
    "message_cache.process": {"key": "k"},
    "message_cache.remove": {"key": "k"},
    "message_cache": {},
    "get_service": {"service_id": "closed"},
    "register_service": {"api": {"id": "posed"}},
    "id.x": {},
}
SPELLINGS: Final = ("built-in", "built%2Din", "%62uilt-in", "BUILT-IN", "Built-In", "built_in")
JSON: Final = {"Content_Type": "application/json"}


@pytest.fixture
async def victim(hub: Hub) -> AsyncIterator[RawClient]:
    """A client whose built-in service says all that a published one's does."""
    async with await RawClient.connect(hub.first) as client:
        await client.offer("closed", "protected", secret=lambda *_: "secret")
        paths = ["ping", "get_service", "register_service"]
        caches = ["create", "append", "process", "remove"]

        def function(path: str) -> dict[str, object]:
            method = f"services.built-in.{path}"
            return {"_rtype": "method", "_rtarget": client.address, "_rmethod": method}

        built_in = {
            "id": "built-in",
            "config": {"visibility": "public", "require_context": True},
            **{path: function(path) for path in paths},
            "message_cache": {name: function(f"message_cache.{name}") for name in caches},
        }
        closed = client.functions["services.built-in.get_service"]
        client.functions["services.built-in.get_service"] = lambda wanted: (
            built_in if wanted == "built-in" else closed(wanted)
        )
        yield client


def called(client: RawClient) -> list[str]:
    """What was called of a client's own, but for the hub's own lookups of a service."""
    methods = [received.method for received in client.received]
    allowed = ("services.built-in.ping", "services.built-in.get_service")
    return [m for m in methods if m.startswith("services.built-in.") and m not in allowed]


@pytest.mark.parametrize("function", OWN)
@pytest.mark.parametrize("is_member", [False, True])
async def test_nobody_calls_it(hub: Hub, victim: RawClient, function: str, is_member: bool) -> None:
    token = await victim.manager("generate_token")
    allowed = {"Authorization": f"Bearer {token}"} if is_member else {}
    base = f"{hub.second}/{victim.workspace}/services/{victim.client_id}"
    body = json.dumps(OWN[function]).encode()
    for spelling in SPELLINGS:
        for query in ("", "?_mode=first", "?key=k"):
            url = f"{base}:{spelling}/{function}{query}"

            answers = [
                await ask(url, **allowed),
                await ask(url, method="HEAD", **allowed),
                await ask(url, body, **JSON, **allowed),
            ]

            assert [answer.status for answer in answers] == [404, 404, 404]
    assert called(victim) == []


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_nor_does_anybody_in_another_way(hub: Hub, victim: RawClient, spelling: str) -> None:
    """As a web application, as a stream of events, or in msgpack."""
    base = f"{hub.second}/{victim.workspace}"
    name = f"{victim.client_id}:{spelling}"
    streamed = {"Accept": "text/event-stream"}
    packed = {"Accept": "application/msgpack", "Content_Type": "application/msgpack"}
    for function, arguments in OWN.items():
        body = json.dumps(arguments).encode()
        answers = [
            await ask(f"{base}/apps/{name}/{function}"),
            await ask(f"{base}/apps/{name}/{function}", body, **JSON),
            await ask(f"{base}/services/{name}/{function}", **streamed),
            await ask(f"{base}/services/{name}/{function}", body, **streamed, **JSON),
            await ask(f"{base}/services/{name}/{function}", pack(arguments), **packed),
        ]

        assert [answer.status for answer in answers] == [404] * len(answers)
    assert called(victim) == []


@pytest.mark.parametrize("spelling", ["built-in", "built%2Din"])
async def test_only_ping_is_shown(hub: Hub, victim: RawClient, spelling: str) -> None:
    url = f"{hub.second}/{victim.workspace}/services/{victim.client_id}:{spelling}"

    described = (await ask(url)).value

    functions = [key for key, value in described.items() if "function" in str(value)]
    assert functions == ["ping"]
    assert described["id"] == f"{victim.address}:built-in"


async def test_whether_a_client_is_there_can_be_asked(hub: Hub, victim: RawClient) -> None:
    url = f"{hub.second}/{victim.workspace}/services/{victim.client_id}:built-in/ping"

    pinged = await ask(f"{url}?msg=ping")
    absent = await ask(url.replace(victim.client_id, "nobody"))

    assert (pinged.status, pinged.value) == (200, "pong")
    assert absent.status == 404


async def test_a_service_does_not_lead_to_it(hub: Hub, victim: RawClient) -> None:
    """Not even by a function that its provider describes so."""
    method = f"{CACHE}create"
    leading = {"_rtype": "method", "_rtarget": victim.address, "_rmethod": method}
    await victim.offer("open", "public", echo=lambda value: value)
    api = victim.functions["services.built-in.get_service"]("open")
    victim.functions["services.built-in.get_service"] = lambda wanted: {**api, "echo": leading}

    answer = await ask(f"{hub.second}/{victim.workspace}/services/open/echo?key=k")

    assert answer.status == 404
    assert called(victim) == []


async def test_it_is_listed_nowhere(hub: Hub, victim: RawClient) -> None:
    listed = (await ask(f"{hub.second}/{victim.workspace}/services")).value
    by_name = await ask(f"{hub.second}/{victim.workspace}/services/built-in")
    anywhere = await ask(f"{hub.second}/public/services/built-in/ping?msg=ping")

    assert not [info for info in listed if "built-in" in info["id"]]
    assert (by_name.status, anywhere.status) == (404, 404)


async def test_no_message_is_put_together_in_a_published_client(hub: Hub) -> None:
    """The way to a protected function: a message whose answer is a call of that function."""
    with PythonClient(NEWEST) as program:
        connection = await program.connect(hub.first)
        await connection["register_service"](
            {"id": "open", "config": {"visibility": "public"}, "echo": Local("echo")}
        )
        address = await connection.address()
        workspace, client = address.split("/")
        resolve = {
            "_rtype": "method",
            "_rtarget": address,
            "_rmethod": "services.closed.delete",
            "_rpromise": False,
        }
        message = frame(
            call_envelope(address, "services.open.echo", session="s"),
            {"args": ["/important"], "promise": {"resolve": resolve}},
        )
        url = f"{hub.second}/{workspace}/services/{client}:built-in/message_cache"
        packed = {"Content_Type": "application/msgpack"}

        created = await ask(f"{url}.create", b"\x81\xa3key\xa1k", **packed)
        data = b"\xc5" + len(message).to_bytes(2) + message
        appended = await ask(f"{url}.append", b"\x82\xa3key\xa1k\xa4data" + data, **packed)
        processed = await ask(f"{url}.process", b"\x81\xa3key\xa1k", **packed)

        assert [created.status, appended.status, processed.status] == [404, 404, 404]
        await connection["disconnect"]()
