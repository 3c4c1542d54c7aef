"""Web applications of published Python clients, as browsers see them."""

import asyncio
import http.client
import json
import socket
import urllib.parse
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.conftest import GatewayFactory
from tests.gateways import SECOND, Hub
from tests.http import Answer, ask
from tests.webapps import Provider

pytestmark = pytest.mark.clients

RELEASES = ("0.5.6", "0.5.44", "0.5.59")
LIMIT = 30 * SECOND


class Site:
    """A provider, and where its applications are asked for: at another gateway, if there is one."""

    def __init__(self, provider: Provider, url: str) -> None:
        self.provider = provider
        self.url = url
        self.base = f"{url}/{provider.workspace}/apps"

    async def get(self, path: str, **headers: str) -> Answer:
        return await ask(f"{self.base}/{path}", **headers)

    async def post(self, path: str, data: bytes, **headers: str) -> Answer:
        return await ask(f"{self.base}/{path}", data, **headers)

    def websocket(self, path: str, **options: Any) -> Any:
        return open_websocket(f"{self.base}/{path}".replace("http", "ws", 1), **options)


@pytest.fixture(params=RELEASES)
async def site(request: pytest.FixtureRequest, hub: Hub) -> AsyncIterator[Site]:
    async with Provider(hub.first, f"imjoy-rpc-{request.param}") as provider:
        yield Site(provider, hub.second)


@pytest.fixture
async def newest(hub: Hub) -> AsyncIterator[Site]:
    async with Provider(hub.first) as provider:
        yield Site(provider, hub.second)


# ASGI


async def test_an_application_is_told_all_of_a_request(site: Site) -> None:
    root = f"/{site.provider.workspace}/apps/plain"

    scope = (await site.get("plain/show?a=%C3%A4&b", X_One="1")).value

    host = urllib.parse.urlsplit(site.url).netloc
    headers = dict(scope["headers"])
    assert headers["b'x-one'"] == "b'1'"
    assert headers["b'host'"] == f"b'{host}'"
    assert scope["context"]["ws"] == site.provider.workspace
    assert scope["context"]["user"]["is_anonymous"]
    assert scope["client"][0] == "127.0.0.1"
    del scope["headers"], scope["context"], scope["client"]
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "method": "GET",
        "server": [host.partition(":")[0], int(host.partition(":")[2])],
        "root_path": root,
        "path": "/show",
        "raw_path": repr(f"{root}/show".encode()),
        "query_string": repr(b"a=%C3%A4&b"),
        "state": {},
        "path_params": {},
        "app_root_path": "",
    }


async def test_the_address_without_a_slash_leads_to_the_one_with_it(newest: Site) -> None:
    parts = urllib.parse.urlsplit(newest.base)
    connection = http.client.HTTPConnection(parts.netloc, timeout=LIMIT)
    connection.request("GET", f"{parts.path}/plain?a=b%20c")
    answer = connection.getresponse()

    assert (answer.status, answer.headers["location"]) == (307, "./plain/?a=b%20c")
    connection.close()
    assert (await newest.get("plain")).body.startswith(b"index of")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "REPORT"])
async def test_every_method_reaches_it(newest: Site, method: str) -> None:
    answer = await ask(f"{newest.base}/plain/show", method=method)

    assert answer.status == 200
    assert answer.body == b"" if method == "HEAD" else answer.value["method"] == method


async def test_a_large_body_comes_in_pieces(site: Site) -> None:
    total, many = (await site.post("plain/size", b"x" * 3_000_000)).value

    assert total == 3_000_000
    assert many > 3


async def test_repeated_headers_arrive_even_across_origins(newest: Site) -> None:
    parts = urllib.parse.urlsplit(newest.base)
    connection = http.client.HTTPConnection(parts.netloc, timeout=LIMIT)
    connection.request("GET", f"{parts.path}/plain/cookies", headers={"Origin": "https://page"})
    answer = connection.getresponse()

    assert answer.headers.get_all("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["access-control-allow-origin"] == "https://page"
    assert answer.headers["access-control-allow-credentials"] == "true"
    connection.close()


class Stream:
    """An answer that is read piece by piece, by a browser that would take it compressed."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.netloc, timeout=LIMIT)
        target = f"{parts.path}?{parts.query}"
        self._connection.request("GET", target, headers={"Accept-Encoding": "gzip"})
        self.answer = self._connection.getresponse()

    async def line(self) -> bytes:
        return await asyncio.to_thread(self.answer.readline)

    def leave(self) -> None:
        assert isinstance(self._connection.sock, socket.socket)
        self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._connection.close()


async def test_a_stream_arrives_piece_by_piece(site: Site) -> None:
    stream = await asyncio.to_thread(Stream, f"{site.base}/plain/drip")

    lines = [await stream.line() for _ in range(3)]

    assert lines == [b"0\n", b"1\n", b"2\n"]
    assert stream.answer.headers["content-encoding"] is None
    stream.leave()


async def test_an_application_that_sends_is_told_that_the_browser_has_left(site: Site) -> None:
    stream = await asyncio.to_thread(Stream, f"{site.base}/plain/drip")
    for _ in range(3):
        await stream.line()

    stream.leave()

    assert "browser has left" in (await site.provider.notice("send failed"))["error"]


async def test_an_application_that_waits_is_told_that_the_browser_has_left(site: Site) -> None:
    stream = await asyncio.to_thread(Stream, f"{site.base}/plain/wait")
    assert await stream.line() == b"begun\n"

    stream.leave()

    assert await site.provider.notice("disconnect")


async def test_much_may_be_sent_in_one_piece(site: Site) -> None:
    answer = await site.get("plain/large?20000000")

    assert answer.body == b"x" * 20_000_000


@pytest.mark.parametrize("release", RELEASES)
async def test_an_answer_may_take_longer_than_a_call(
    release: str, gateway_factory: GatewayFactory
) -> None:
    near, far = gateway_factory(call_timeout=2.0), gateway_factory(call_timeout=2.0)
    async with Provider(near.url, f"imjoy-rpc-{release}") as provider:
        answer = await Site(provider, far.url).get("plain/nap?5")

    assert answer.body == b"slept"


async def test_an_application_that_says_nothing_is_given_up(
    gateway_factory: GatewayFactory,
) -> None:
    gateway = gateway_factory(call_timeout=2.0)
    async with Provider(gateway.url) as provider:
        provider.freeze()
        answer = await Site(provider, gateway.url).get("plain/")
        provider.thaw()

    assert answer.status == 504


async def test_a_suspended_provider_is_waited_for_a_while(gateway_factory: GatewayFactory) -> None:
    gateway = gateway_factory()
    async with Provider(gateway.url) as provider:
        site = Site(provider, gateway.url)
        await site.get("plain/")
        provider.kill()

        answer = await site.get("plain/")

    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("page", ["early", "silent"])
async def test_an_application_that_does_not_answer_is_a_failure(site: Site, page: str) -> None:
    answer = await site.get(f"plain/{page}")

    assert answer.status == 500
    assert "Traceback" not in answer.body.decode()
    assert answer.value["success"] is False


async def test_an_answer_that_breaks_off_is_not_taken_for_whole(site: Site) -> None:
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        await site.get("plain/late")


async def test_texts_are_taken_for_bytes(site: Site) -> None:
    answer = await site.get("plain/text")

    assert answer.body == "grüß".encode()
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


async def test_a_header_cannot_hide_another(newest: Site) -> None:
    answer = await newest.get("plain/split")

    assert b"line break" in answer.body
    assert "x-b" not in answer.headers


# WebSockets


async def test_a_websocket_goes_to_the_application(site: Site) -> None:
    async with site.websocket("plain/socket", subprotocols=["one", "two"]) as socket:
        await socket.send("text")
        await socket.send(b"bytes")
        await socket.send(b"x" * 700_000)

        assert socket.subprotocol == "one"
        assert [await socket.recv(), await socket.recv()] == ["text", b"bytes"]
        assert await socket.recv() == b"x" * 700_000
    assert (await site.provider.notice("websocket closed"))["code"] == 1000


async def test_an_application_may_close_or_deny_a_websocket(newest: Site) -> None:
    async with newest.websocket("plain/socket") as socket:
        await socket.send("close")
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    with pytest.raises(InvalidStatus) as denied:
        await newest.websocket("plain/socket?deny")

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "as you like")
    assert denied.value.response.status_code == 403


async def test_a_websocket_is_closed_when_the_application_fails(newest: Site) -> None:
    async with newest.websocket("plain/socket?fail") as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011


@pytest.mark.parametrize("path", ["nothing/socket", "funcs/socket"])
async def test_a_websocket_to_nothing_is_refused(newest: Site, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await newest.websocket(path)

    assert refused.value.response.status_code == 404


async def test_a_websocket_is_closed_when_its_provider_is_killed(newest: Site) -> None:
    async with newest.websocket("plain/socket") as socket:
        await socket.send("text")
        await socket.recv()

        newest.provider.kill()

        async with asyncio.timeout(LIMIT):
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code in (1011, 1012)


# Functions


async def test_a_function_answers(site: Site) -> None:
    answers = [await site.get("funcs/"), await site.get("funcs/index"), await site.get("funcs")]

    assert [answer.body for answer in answers] == [b"hello"] * 3
    assert answers[0].headers["x-name"] == "hello"
    assert answers[0].headers["content-length"] == "5"


async def test_a_function_gets_an_event(site: Site) -> None:
    event = (await site.post("funcs/show/?a=b", b"content", X_One="1")).value

    assert event["path"] == "/show/"
    assert event["raw_path"] == f"/{site.provider.workspace}/apps/funcs/show/"
    assert event["query_string"] == "a=b"
    assert event["headers"]["x-one"] == "1"
    assert event["body"] == repr(b"content")
    assert event["method"] == "POST"
    assert event["context"] == {"user": None, "_rkwargs": True}
    assert (await site.get("funcs/show")).value["body"] is None


async def test_a_function_gets_a_body_of_many_parts(site: Site) -> None:
    assert (await site.post("funcs/length", b"x" * 3_000_000)).body == b"3000000"
    assert (await site.post("funcs/length", b"")).body == b"0"


async def test_a_body_that_is_too_large_is_refused(newest: Site) -> None:
    answer = await newest.post("funcs/length", b"x" * (32 * 2**20 + 1))

    assert answer.status == 413


@pytest.mark.parametrize("path", ["a/b", "index.x", "missing", "n"])
async def test_a_path_that_is_no_function_is_not_found(newest: Site, path: str) -> None:
    answer = await newest.get(f"funcs/{path}")

    assert (answer.status, answer.body) == (404, b"Not Found")
    assert answer.headers["content-type"] == "text/plain"


RESULTS: dict[str, tuple[int, bytes | None]] = {
    "nothing": (500, None),
    "text": (500, None),
    "bad-status": (500, None),
    "no-content": (204, b""),
    "no-body": (200, b""),
    "dict": (200, b'{"a": 1}'),
    "bytes": (200, b"\0\1"),
    "memoryview": (200, b"\0\1"),
    "page": (200, b"<!doctype html>"),
    "teapot": (418, b"teapot"),
}


@pytest.mark.parametrize("result", RESULTS)
async def test_what_a_function_returns_is_the_answer(newest: Site, result: str) -> None:
    status, body = RESULTS[result]

    answer = await newest.get(f"funcs/give?{result}")

    assert answer.status == status
    assert body is None or answer.body == body


async def test_a_function_that_fails_says_nothing_of_its_inside(site: Site) -> None:
    answer = await site.get("funcs/fail")

    assert answer.status == 500
    assert b"Traceback" not in answer.body
    assert b"the function fails" not in answer.body


async def test_head_is_get_without_a_body(newest: Site) -> None:
    answer = await ask(f"{newest.base}/funcs/", method="HEAD")

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == "5"


async def test_functions_are_told_who_asks_and_never_root(newest: Site) -> None:
    token = newest.provider.token

    anonymous = (await newest.get("context/who")).value
    known = (await newest.get("context/who", Authorization=f"Bearer {token}")).value
    bare = (await newest.get("context/who", Authorization=token)).value

    assert anonymous["event"] is None
    assert anonymous["context"]["id"] not in ("root", newest.provider.about["user"]["id"])
    assert known["event"]["id"] == known["context"]["id"] == bare["event"]["id"] != "root"
    assert known["event"]["parent"] == newest.provider.about["user"]["id"]


async def test_a_bad_token_is_refused_by_functions_and_left_to_applications(newest: Site) -> None:
    """An application may have tokens of its own."""
    functions = await newest.get("funcs/", Authorization="Bearer nonsense")
    application = await newest.get("plain/", Authorization="Bearer nonsense")

    assert functions.status == 401
    assert application.status == 200


# Who may, and who is there.


async def test_what_is_protected_is_for_those_who_may_enter(hub: Hub) -> None:
    protected = {"plain": "protected", "context": "protected"}
    async with Provider(hub.first, services=protected) as provider:
        site = Site(provider, hub.second)
        allowed = {"Authorization": f"Bearer {provider.token}"}

        refused = [await site.get(path) for path in ("plain/", "context/who")]
        admitted = [await site.get(path, **allowed) for path in ("plain/", "context/who")]
        nonsense = await site.get("plain/", Authorization="Bearer nonsense")

    assert [answer.status for answer in refused] == [403, 403]
    assert [answer.status for answer in admitted] == [200, 200]
    assert nonsense.status == 401
    assert json.loads(admitted[1].body)["context"]["parent"] == provider.about["user"]["id"]


@pytest.mark.parametrize("path", ["nothing", "nothing/", "nothing/at/all"])
async def test_what_nobody_offers_is_not_found(newest: Site, path: str) -> None:
    answer = await newest.get(path)

    assert answer.status == 404
    assert "nothing" in answer.value["detail"]
    assert (await ask(f"{newest.url}/no-such-workspace/apps/plain/")).status == 404


async def test_several_providers_share_one_path_and_one_may_go(hub: Hub) -> None:
    async with Provider(hub.first, client_id="one") as first:
        joined: dict[str, Any] = {
            "workspace": first.workspace,
            "token": first.token,
            "client_id": "two",
        }
        async with Provider(hub.second, **joined):
            site = Site(first, hub.second)
            seen = {(await site.get("plain/")).body for _ in range(30)}

            first.kill()

            left = [await site.get("plain/") for _ in range(10)]
            functions = [await site.get("funcs/") for _ in range(10)]
    assert {(answer.status, answer.body) for answer in functions} == {(200, b"hello")}
    assert seen == {b"index of one", b"index of two"}
    assert {answer.body for answer in left} == {b"index of two"}


async def test_a_provider_that_dies_before_it_answers_is_a_bad_gateway(newest: Site) -> None:
    answer = await newest.post("plain/die", b"x")

    assert answer.status in (502, 503)
