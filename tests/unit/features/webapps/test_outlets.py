"""What an application answers goes to the browser in the order that ASGI prescribes."""

from typing import Any

import pytest

from hypha_cluster.errors import BadRequest, SessionClosed
from hypha_cluster.features.webapps.inlet import Inlet
from hypha_cluster.features.webapps.outlets import HttpOutlet, WebSocketOutlet

START = {"type": "http.response.start", "status": 200, "headers": [["A", "b"]]}


class Browser:
    """Takes what is sent to it."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.inlet = Inlet(self._receive)

    async def send(self, message: Any) -> None:
        self.got.append(dict(message))

    async def _receive(self) -> dict[str, Any]:
        raise NotImplementedError

    @property
    def kinds(self) -> list[str]:
        return [message["type"].rpartition(".")[2] for message in self.got]


@pytest.fixture
def browser() -> Browser:
    return Browser()


@pytest.fixture
def http(browser: Browser) -> HttpOutlet:
    return HttpOutlet(browser.send, browser.inlet)


@pytest.fixture
def websocket(browser: Browser) -> WebSocketOutlet:
    return WebSocketOutlet(browser.send, browser.inlet)


def body(content: Any = b"x", **more: Any) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, **more}


async def test_an_answer_goes_out_piece_by_piece(browser: Browser, http: HttpOutlet) -> None:
    await http.send(START)
    begun_by_its_start = http.has_begun
    for piece in (body("é", more_body=True), body(b"2", more_body=True), body(None)):
        await http.send(piece)

    assert not begun_by_its_start
    assert browser.kinds == ["start", "body", "body", "body"]
    assert browser.got[0]["headers"] == [(b"a", b"b")]
    assert [message["body"] for message in browser.got[1:]] == ["é".encode(), b"2", b""]
    assert http.is_complete


@pytest.mark.parametrize(
    "messages",
    [
        [body()],
        [START, START],
        [START, body(), body()],
        [START, {"type": "http.response.push"}],
        [{"type": "websocket.accept"}],
        [{}],
        ["text"],
        [None],
        [{"type": "http.response.start", "status": "200"}],
        [START, body(5)],
    ],
)
async def test_what_makes_no_sense_is_refused(http: HttpOutlet, messages: list[Any]) -> None:
    *before, last = messages
    for message in before:
        await http.send(message)

    with pytest.raises(BadRequest):
        await http.send(last)


async def test_an_application_is_told_that_the_browser_has_left(
    browser: Browser, http: HttpOutlet
) -> None:
    await http.send(START)
    browser.inlet.end({"type": "http.disconnect"})

    with pytest.raises(SessionClosed, match="has left"):
        await http.send(body())
    assert browser.got == []


async def test_an_answer_that_has_not_begun_can_be_anothers(http: HttpOutlet) -> None:
    await http.send(START)

    assert not http.has_begun
    http.forget()
    await http.send(START)
    await http.send(body())
    assert http.has_begun


async def test_a_websocket_is_accepted_used_and_closed(
    browser: Browser, websocket: WebSocketOutlet
) -> None:
    await websocket.send({"type": "websocket.accept", "subprotocol": "a"})
    await websocket.send({"type": "websocket.send", "text": "t"})
    await websocket.send({"type": "websocket.send", "bytes": b"b", "text": None})
    await websocket.send({"type": "websocket.close", "code": 4000, "reason": None})

    assert browser.got == [
        {"type": "websocket.accept", "subprotocol": "a", "headers": []},
        {"type": "websocket.send", "text": "t"},
        {"type": "websocket.send", "bytes": b"b"},
        {"type": "websocket.close", "code": 4000, "reason": ""},
    ]
    assert websocket.is_complete


async def test_a_websocket_may_be_denied(browser: Browser, websocket: WebSocketOutlet) -> None:
    start = {"type": "websocket.http.response.start", "status": 403}
    await websocket.send(start)
    await websocket.send({"type": "websocket.http.response.body", "body": b"no"})

    assert browser.kinds == ["start", "body"]
    assert websocket.is_complete


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "websocket.send", "text": "t"}],
        [{"type": "websocket.accept"}, {"type": "websocket.accept"}],
        [{"type": "websocket.accept", "subprotocol": 5}],
        [{"type": "websocket.accept"}, {"type": "websocket.send"}],
        [{"type": "websocket.accept"}, {"type": "websocket.close", "code": 1006}],
        [{"type": "websocket.close"}, {"type": "websocket.send", "text": "t"}],
        [{"type": "websocket.http.response.body"}],
        [START],
    ],
)
async def test_what_makes_no_sense_over_a_websocket_is_refused(
    websocket: WebSocketOutlet, messages: list[Any]
) -> None:
    *before, last = messages
    for message in before:
        await websocket.send(message)

    with pytest.raises(BadRequest):
        await websocket.send(last)


async def test_a_websocket_is_closed_in_the_place_of_an_application_that_left(
    browser: Browser, websocket: WebSocketOutlet
) -> None:
    await websocket.send({"type": "websocket.accept"})

    await websocket.end(1012, "it left")
    await websocket.end(1012, "it left")

    assert browser.kinds == ["accept", "close"]
