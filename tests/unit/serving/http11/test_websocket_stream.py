"""On Hypercorn's own path too, an application hears with which code and reason a peer closed."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypercorn.protocol.ws_stream import WSStream
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, TextMessage

from hypha_cluster.serving.http11.websocket_stream import TellingStream

GONE = {"type": "websocket.disconnect", "code": 1006}


class Stream(TellingStream):
    """Without a connection; keeps what the application hears, and what the peer is sent."""

    def __init__(self, state: ConnectionState) -> None:
        self.connection = cast(Any, SimpleNamespace(state=state))
        self.heard: list[dict[str, Any]] = []
        self.sent: list[Any] = []
        self._hypercorns_put = self._hear

    async def _hear(self, event: dict[str, Any]) -> None:
        self.heard.append(event)


@pytest.fixture(autouse=True)
def _sends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def send(stream: Stream, event: Any) -> None:
        stream.sent.append(event)

    monkeypatch.setattr(WSStream, "_send_wsproto_event", send)


async def after(state: ConnectionState, *sent: Any) -> Stream:
    stream = Stream(state)
    for event in sent:
        await stream._send_wsproto_event(event)
    await stream._put_as_closed(GONE)
    assert stream.sent == [*sent]
    return stream


@pytest.mark.parametrize("reason", ["it leaves", None])
async def test_the_answer_to_a_close_says_how_the_peer_closed(reason: str | None) -> None:
    stream = await after(ConnectionState.REMOTE_CLOSING, CloseConnection(1000, reason))

    assert stream.heard == [{**GONE, "code": 1000, "reason": reason or ""}]


@pytest.mark.parametrize(
    ("state", "sent"),
    [
        (ConnectionState.OPEN, []),
        (ConnectionState.OPEN, [CloseConnection(1012, "the gateway stops")]),
        (ConnectionState.REMOTE_CLOSING, [TextMessage("x")]),
    ],
)
async def test_without_a_close_of_the_peer_its_end_is_abnormal(
    state: ConnectionState, sent: list[TextMessage | CloseConnection]
) -> None:
    assert (await after(state, *sent)).heard == [GONE]


async def test_what_else_happens_is_told_as_it_is() -> None:
    stream = Stream(ConnectionState.REMOTE_CLOSING)
    await stream._send_wsproto_event(CloseConnection(1000, ""))

    await stream._put_as_closed({"type": "websocket.receive", "text": "x"})

    assert stream.heard == [{"type": "websocket.receive", "text": "x"}]
