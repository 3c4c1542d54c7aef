"""What functions of published Python clients return bit by bit, read over HTTP."""

import asyncio
import http.client
import json
import socket
import urllib.parse
from collections.abc import AsyncIterator

import msgpack
import pytest

from tests.gateways import SECOND, Hub
from tests.http import Answer, ask
from tests.webapps import Provider

pytestmark = pytest.mark.clients

MSGPACK = "application/msgpack"
EVENTS = "text/event-stream"


class Site:
    """A provider, and where its functions are called: at another gateway, if there is one."""

    def __init__(self, provider: Provider, url: str) -> None:
        self.provider = provider
        self.base = f"{url}/{provider.workspace}/services/streams"

    async def get(self, path: str, accept: str = "*/*") -> Answer:
        return await ask(f"{self.base}/{path}", Accept=accept, Accept_Encoding="gzip")


@pytest.fixture(params=["0.5.6", "0.5.44", "0.5.59"])
async def site(request: pytest.FixtureRequest, hub: Hub) -> AsyncIterator[Site]:
    kind = f"imjoy-rpc-{request.param}"
    async with Provider(hub.first, kind, services={"streams": "public"}) as provider:
        yield Site(provider, hub.second)


async def test_a_generator_is_sent_in_the_form_that_is_asked_for(site: Site) -> None:
    items = [{"number": number} for number in range(3)]

    lines = await site.get("count?number=3")
    packed = await site.get("count?number=3", MSGPACK)
    events = await site.get("count?number=3", EVENTS)
    empty = await site.get("count?number=0")

    assert lines.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in lines.body.splitlines()] == items
    unpacker = msgpack.Unpacker()
    unpacker.feed(packed.body)
    assert list(unpacker) == items
    assert events.headers["content-type"].startswith(EVENTS)
    assert events.body == b"".join(b'data: {"number":%d}\n\n' % number for number in range(3))
    assert (empty.status, empty.body) == (200, b"")


async def test_a_file_is_sent_as_it_is(site: Site) -> None:
    file, text = await site.get("file?size=1000000"), await site.get("text")

    assert file.headers["content-type"] == "application/octet-stream"
    assert file.body == b"x" * 1_000_000
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert text.body.decode() == "grüß\ndich"


async def test_each_item_comes_at_once_and_the_generator_ends_with_its_reader(site: Site) -> None:
    def read_some() -> list[bytes]:
        place = urllib.parse.urlsplit(f"{site.base}/count?number=1000&pause=0.1")
        connection = http.client.HTTPConnection(place.netloc, timeout=30 * SECOND)
        connection.request("GET", f"{place.path}?{place.query}")
        answer = connection.getresponse()
        lines = [answer.readline() for _ in range(3)]
        assert isinstance(connection.sock, socket.socket)
        connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()
        return lines

    lines = await asyncio.to_thread(read_some)

    assert [json.loads(line)["number"] for line in lines] == [0, 1, 2]
    assert await site.provider.notice("stream ended")


async def test_a_generator_that_fails_is_not_taken_for_whole(site: Site) -> None:
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        await site.get("break_off")

    events = await site.get("break_off", EVENTS)

    *_, kind, data = events.body.decode().strip().splitlines()
    assert kind == "event: error"
    assert "no second one" in json.loads(data.removeprefix("data: "))["detail"]


async def test_arguments_that_do_not_fit_are_the_callers_mistake(site: Site) -> None:
    assert (await site.get("file?nonsense=1")).status == 422
