"""What one caller over HTTP can make a gateway keep or do: little, and nobody else waits for it."""

import asyncio
import gzip
import http.client
import json
import math
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgpack
import pytest

from hypha_cluster.protocol.limits import ARGUMENT_CONTAINERS, ARGUMENT_VALUES, INFLATION
from tests.conftest import GatewayFactory
from tests.gateways import SECOND, Gateway
from tests.http import Answer, ask
from tests.raw_client import RawClient

MEGABYTE: Final = 1_000_000
JSON: Final = {"Content_Type": "application/json"}
MSGPACK: Final = {"Content_Type": "application/msgpack"}
GZIP: Final = {**JSON, "Content_Encoding": "gzip"}


class Lab(NamedTuple):
    """A provider that keeps what it was called with, its gateway, and where to call it."""

    gateway: Gateway
    provider: RawClient
    url: str
    seen: list[Any]

    @property
    def page(self) -> str:
        """The address of a web application of the same provider, which takes bodies too."""
        return f"{self.gateway.url}/{self.provider.workspace}/apps/page/take"


@pytest.fixture
async def lab(gateway_factory: GatewayFactory) -> AsyncIterator[Lab]:
    gateway = gateway_factory()
    async with await RawClient.connect(gateway.url) as provider:
        provider.take_chunks()
        seen: list[Any] = []

        def note(*args: Any) -> int:
            seen.append(args)
            return len(seen)

        await provider.offer("open", "public", note=note)
        page = {"id": "page", "type": "functions", "config": {"visibility": "public"}}
        services = [{"id": f"{provider.client_id}:open", "config": page["config"]}, page]
        info = {"id": provider.client_id, "services": services}
        await provider.manager("update_client_info", info)
        yield Lab(gateway, provider, f"{gateway.url}/{provider.workspace}/services/open/note", seen)


def peak_memory(gateway: Gateway) -> int:
    """The most bytes that the gateway ever had."""
    status = Path(f"/proc/{gateway.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def lists(many: int) -> bytes:
    return b'{"a":[' + b"[]," * many + b"[]]}"


async def ask_plainly(url: str, body: bytes, **headers: str) -> Answer:
    answer = await ask(url, body, **headers)
    assert "Traceback" not in answer.body.decode()
    return answer


# What is small on its way.


@pytest.mark.parametrize(
    "inflated",
    [lists(30 * MEGABYTE), bytes(200 * MEGABYTE), b'{"a":"' + b"x" * 200 * MEGABYTE + b'"}'],
    ids=["lists", "zeros", "text"],
)
async def test_a_small_body_does_not_become_a_large_one(lab: Lab, inflated: bytes) -> None:
    body = gzip.compress(inflated, 9)
    memory = peak_memory(lab.gateway)

    answer = await ask_plainly(lab.url, body, **GZIP)

    assert answer.status == 413
    assert "inflated" in answer.value["detail"]
    assert peak_memory(lab.gateway) - memory < 2 * INFLATION * len(body)
    assert lab.seen == []


async def test_what_shrinks_as_text_does_is_inflated(lab: Lab) -> None:
    value = [f"line {number}: nothing to be seen here" for number in range(200_000)]
    inflated = json.dumps({"value": value}).encode()

    answer = await ask(lab.url, gzip.compress(inflated), **GZIP)

    assert answer.value == 1
    assert lab.seen == [({"value": value},)]


@pytest.mark.parametrize("cut", [slice(0, -5), slice(0, 12), slice(4, None)])
async def test_a_broken_gzip_is_refused(lab: Lab, cut: slice) -> None:
    answer = await ask(lab.url, gzip.compress(b'{"x": 1, "y": "text"}')[cut], **GZIP)

    assert answer.status == 400
    assert "gzip" in answer.value["detail"]


async def test_another_encoding_is_refused(lab: Lab) -> None:
    answer = await ask(lab.url, b"{}", **JSON, Content_Encoding="br")

    assert answer.status == 415
    assert "'br'" in answer.value["detail"]


# What is decoded.


def _deep(levels: int) -> bytes:
    return b'{"a":' + b"[" * levels + b"]" * levels + b"}"


MANY = ARGUMENT_CONTAINERS + 10
TOO_MUCH: Final[dict[str, tuple[bytes, dict[str, str]]]] = {
    "lists": (lists(MANY), JSON),
    "maps": (b'{"a":[' + b"{}," * MANY + b"{}]}", JSON),
    "numbers": (b'{"a":[' + b"1," * ARGUMENT_VALUES + b"1]}", JSON),
    "texts": (b'{"a":[' + b'"",' * (3 * ARGUMENT_VALUES) + b'""]}', JSON),
    "keys": (b'{"a":{' + b'"":1,' * ARGUMENT_VALUES + b'"":1}}', JSON),
    "packed lists": (b"\x81\xa1a\xdd" + MANY.to_bytes(4) + b"\x90" * MANY, MSGPACK),
    "packed maps": (b"\x81\xa1a\xdd" + MANY.to_bytes(4) + b"\x80" * MANY, MSGPACK),
    "packed lists of lists": (b"\x81\xa1a\xdc\xff\xff" + (b"\x95" + b"\x90" * 5) * 65_535, MSGPACK),
    "packed numbers": (
        b"\x81\xa1a\x92" + (b"\xdd" + (700_000).to_bytes(4) + b"\x01" * 700_000) * 2,
        MSGPACK,
    ),
}


@pytest.mark.parametrize("body", TOO_MUCH)
async def test_many_values_are_refused(lab: Lab, body: str) -> None:
    answer = await ask_plainly(lab.url, TOO_MUCH[body][0], **TOO_MUCH[body][1])

    assert answer.status in (400, 413)
    assert "msgpack" in answer.value["detail"]
    assert lab.seen == []


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (_deep(201), JSON),
        (_deep(5_000), JSON),
        (_deep(200_000), JSON),
        (b"\x81\xa1a" + b"\x91" * 201 + b"\xc0", MSGPACK),
        (b"\x81\xa1a" + b"\x91" * 5_000 + b"\xc0", MSGPACK),
        (b"\x81\xa1a" + b"\xdd\x00\x0f\xff\xff" * 300 + bytes(MEGABYTE), MSGPACK),
    ],
)
async def test_deep_values_are_refused(lab: Lab, body: bytes, headers: dict[str, str]) -> None:
    memory = peak_memory(lab.gateway)

    answer = await ask_plainly(lab.url, body, **headers)

    assert answer.status == 400
    assert lab.seen == []
    assert peak_memory(lab.gateway) - memory < 40 * MEGABYTE


async def test_an_image_of_a_common_size_may_come_as_lists(lab: Lab) -> None:
    image = [[[1, 2, 3]] * 512] * 512

    for body, headers in (
        (json.dumps({"image": image}).encode(), JSON),
        (msgpack.packb({"image": image}), MSGPACK),
    ):
        assert (await ask(lab.url, body, **headers)).status == 200

    assert [seen == ({"image": image},) for seen in lab.seen] == [True, True]


@pytest.mark.parametrize("text", ["a,b\n" * 1_000_000, '[{"\\' * 300_000])
async def test_what_stands_in_a_text_is_no_value(lab: Lab, text: str) -> None:
    answer = await ask(lab.url, json.dumps({"table": text}).encode(), **JSON)

    assert answer.status == 200
    assert lab.seen == [({"table": text},)]


# Many at once, and slow ones.


def start_post(lab: Lab, length: int) -> http.client.HTTPConnection:
    """Announce a body, of which nothing has been sent yet."""
    url = urllib.parse.urlsplit(lab.url)
    connection = http.client.HTTPConnection(url.netloc, timeout=30 * SECOND)
    connection.putrequest("POST", url.path)
    connection.putheader("Content-Type", "application/msgpack")
    connection.putheader("Content-Length", str(length))
    connection.endheaders()
    return connection


async def test_large_bodies_have_room_for_some_at_once(lab: Lab) -> None:
    """More are answered 503; small ones are served all the same, and large ones afterwards."""
    size = 40 * MEGABYTE
    packed = msgpack.packb({"data": bytes(size)})
    opened = [start_post(lab, len(packed)) for _ in range(5)]

    def send_all_but_the_end(connection: http.client.HTTPConnection) -> bool:
        try:
            connection.send(packed[:-1])
        except OSError:
            return False
        return True

    await asyncio.gather(*(asyncio.to_thread(send_all_but_the_end, each) for each in opened))
    refused = await ask(lab.url, packed, **MSGPACK)
    elsewhere = await ask(lab.page, bytes(20 * MEGABYTE))
    small = await ask(lab.url, b'{"x": 1}', **JSON)
    for connection in opened:
        connection.close()
    async with asyncio.timeout(30 * SECOND):
        while (  # noqa: ASYNC110  (only the gateway knows)
            after := await ask(lab.url, packed, **MSGPACK)
        ).status == 503:
            await asyncio.sleep(0.05)

    assert (refused.status, elsewhere.status) == (503, 503)
    assert refused.headers["retry-after"] == "1"
    assert "try again" in refused.value["detail"]
    assert (small.status, after.status) == (200, 200)
    assert len(lab.seen) == 2


async def test_a_body_that_is_too_long_is_not_waited_for(lab: Lab) -> None:
    connection = start_post(lab, 2**40)

    answer = await asyncio.to_thread(connection.getresponse)

    assert answer.status == 413
    connection.close()


async def test_who_goes_in_the_middle_of_a_body_is_no_fault_of_the_hubs(lab: Lab) -> None:
    for _ in range(3):
        connection = start_post(lab, 1_000)
        connection.send(bytes(10))
        connection.close()

    assert (await ask(lab.url, b"{}", **JSON)).status == 200
    assert "ERROR" not in lab.gateway.log()


# Queries.


REFERENCE: Final = json.dumps({"_rtype": "method", "_rtarget": "ws/x", "_rmethod": "services.s.f"})


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"n": "1" * 21}, "'n' is a number of more than 20 digits"),
        ({"n": "1" * 4_301}, "'n' is a number of more than 20 digits"),
        ({"n": "9" * 20}, "msgpack"),
        ({"n": '{"a":' * 1_500}, "levels"),
        ({"n": '{"a":' * 1_500 + "1" + "}" * 1_500}, "levels"),
        ({"n": '{"a":' * 300 + "1" + "}" * 300}, "levels"),
        ({"n": '{"a":"\\ud800"}'}, "msgpack"),
        ({"callback": REFERENCE}, "A function cannot be passed"),
        ({"callback": f'{{"deep": [{REFERENCE}]}}'}, "A function cannot be passed"),
        (json.loads(REFERENCE), "A function cannot be passed"),
        ({"n": '{"__proto__": {"a": 1}}'}, "__proto__"),
        ({"n": '{"a": [{"__proto__": 1}]}'}, "__proto__"),
        ({"n": '{"\\u005f_proto__": 1}'}, "__proto__"),
        ({"__proto__": "1"}, "__proto__"),
    ],
)
async def test_a_query_is_held_to_what_a_body_is_held_to(
    lab: Lab, query: dict[str, str], detail: str
) -> None:
    answer = await ask(f"{lab.url}?{urllib.parse.urlencode(query)}", Origin="https://a.example")

    assert answer.status == 400
    assert detail in answer.value["detail"]
    assert answer.headers["access-control-allow-origin"] == "https://a.example"
    assert lab.seen == []
    assert "ERROR" not in lab.gateway.log()


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (f'{{"callback": {REFERENCE}}}', "A function cannot be passed"),
        (REFERENCE, "A function cannot be passed"),
        ('{"a": [{"__proto__": 1}]}', "__proto__"),
        ('{"__proto__": 1}', "__proto__"),
    ],
)
async def test_a_body_holds_no_function_and_no_prototype(lab: Lab, body: str, detail: str) -> None:
    packed = msgpack.packb(json.loads(body))
    for sent, headers in ((body.encode(), JSON), (packed, MSGPACK)):
        answer = await ask(lab.url, sent, **headers)

        assert answer.status == 400
        assert detail in answer.value["detail"]
    assert lab.seen == []


async def test_names_of_arguments_are_text(lab: Lab) -> None:
    answer = await ask(lab.url, b"\x81\xc4\x01x\x01", **MSGPACK)

    assert answer.status == 400
    assert "text" in answer.value["detail"]


@pytest.mark.parametrize(
    ("text", "value"),
    [('"5"', "5"), ('"', '"'), ('"a', '"a'), ('"a" b', '"a" b'), ('"{}"', "{}"), ("nan", math.nan)],
)
async def test_quotes_make_a_text_of_a_parameter(lab: Lab, text: str, value: object) -> None:
    await ask(f"{lab.url}?{urllib.parse.urlencode({'x': text})}")

    assert repr(lab.seen) == repr([({"x": value},)])
