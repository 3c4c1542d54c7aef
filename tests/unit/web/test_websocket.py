"""A client is let in by WebSocket, refused with the reason, or put off: as its release bears it."""

import asyncio
from typing import cast

import pytest
from starlette.types import Message
from starlette.websockets import WebSocket

from hypha_cluster.errors import (
    BadRequest,
    HubError,
    InvalidToken,
    NotYetBack,
    RedisUnavailable,
    TooMany,
)
from hypha_cluster.protocol.dialects.imjoy import IMJOY
from hypha_cluster.supervision import Supervisor
from hypha_cluster.web import put_off
from hypha_cluster.web.origins import Origins
from hypha_cluster.web.reception import Reception
from hypha_cluster.web.websocket import BROWSER_REFRESH, WebSocketApi
from tests.unit.web.fake_reception import FakeReception

LIMIT = 5.0
ASKED = "client_id=me&workspace=ann"


class Visit:
    """One client that connects, and goes when it is told to, or has said so."""

    def __init__(
        self, reception: FakeReception, public_base_url: str = "", origins: str = ""
    ) -> None:
        self.reception = reception
        self.sent: list[Message] = []
        self.coming: asyncio.Queue[Message] = asyncio.Queue()
        self.coming.put_nowait({"type": "websocket.connect"})
        self._api = WebSocketApi(
            cast(Reception, reception),
            public_base_url,
            Supervisor(),
            Origins(origins, public_base_url),
        )

    async def come(self, query: str = ASKED, **headers: str) -> list[str]:
        named = {"host": "hub", **{name.replace("_", "-"): each for name, each in headers.items()}}
        scope = {
            "type": "websocket",
            "path": "/ws",
            "scheme": "ws",
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.encode(), each.encode()) for name, each in named.items()],
            "subprotocols": [],
            "extensions": {"websocket.http.response": {}},
        }
        websocket = WebSocket(scope, self.coming.get, self._send)
        async with asyncio.timeout(LIMIT):
            await self._api.serve(websocket)
        return [message["type"].removeprefix("websocket.") for message in self.sent]

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


@pytest.fixture(autouse=True)
def promptly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(put_off, "PUT_OFF", 0.05)


async def test_who_may_is_let_in_and_lives() -> None:
    visit = Visit(FakeReception())

    assert await visit.come() == ["accept"]

    (arrival,) = visit.reception.arrivals
    assert arrival.admission.dialect is IMJOY
    assert (arrival.way.base_url, arrival.way.refresh_after) == ("http://hub", 0.0)
    assert len(visit.reception.alive) == 1


async def test_the_address_of_the_hub_is_what_its_operator_says() -> None:
    visit = Visit(FakeReception(), "https://hub.example")

    await visit.come()

    assert visit.reception.arrivals[0].way.base_url == "https://hub.example"


@pytest.mark.parametrize("headers", [{"origin": "http://hub"}, {"user_agent": "Mozilla/5.0 (X11)"}])
async def test_a_browser_is_to_ask_anew_often(headers: dict[str, str]) -> None:
    visit = Visit(FakeReception())

    await visit.come(**headers)

    assert visit.reception.arrivals[0].way.refresh_after == BROWSER_REFRESH


async def test_of_what_is_asked_twice_the_last_counts() -> None:
    visit = Visit(FakeReception())

    await visit.come("client_id=a&workspace=&client_id=b&token=x%2By")

    assert visit.reception.asked == [{"client_id": "b", "workspace": "", "token": "x+y"}]


async def test_a_page_of_elsewhere_is_refused_before_anything_is_asked() -> None:
    visit = Visit(FakeReception(), origins="https://allowed.example")

    await visit.come(origin="https://evil.example")

    assert visit.sent[0]["status"] == 403
    assert visit.reception.asked == []


async def test_a_page_in_a_sandbox_comes_from_nowhere_and_needs_a_token() -> None:
    answers = []
    for query in (ASKED, f"{ASKED}&token=ann's"):
        visit = Visit(FakeReception(), origins="https://allowed.example")
        answers.append((await visit.come(query, origin="null"))[0])

    assert answers == ["http.response.start", "accept"]


@pytest.mark.parametrize(
    "error", [BadRequest("client_id is missing."), InvalidToken("It has expired.")]
)
async def test_a_refusal_says_why(error: HubError) -> None:
    visit = Visit(FakeReception(error))

    assert await visit.come() == ["http.response.start", "http.response.body"]

    assert visit.sent[0]["status"] == 403
    assert visit.sent[1]["body"].decode() == str(error)
    assert visit.reception.refusals == [error]


async def test_who_comes_too_often_is_told_when_to_try_again() -> None:
    visit = Visit(FakeReception(TooMany("Too many admissions.", 7.0)))

    await visit.come()

    assert visit.sent[0]["status"] == 403
    assert (b"retry-after", b"7") in visit.sent[0]["headers"]


@pytest.mark.parametrize("error", [RedisUnavailable("Redis is away."), NotYetBack("Wait.")])
async def test_what_passes_puts_a_client_off_for_a_refusal_would_end_it(error: HubError) -> None:
    visit = Visit(FakeReception(error))

    assert await visit.come() == ["accept", "close"]

    assert visit.sent[1]["code"] == 1012
    assert visit.reception.refusals == [error]


async def test_who_had_proved_to_come_back_waits() -> None:
    visit = Visit(FakeReception(TooMany("Too many.", 7.0, ["user ann"])))

    assert await visit.come() == ["accept", "close"]

    assert (visit.sent[1]["code"], visit.sent[1]["reason"]) == (1013, "too many; try again in 7 s")


async def test_where_too_many_wait_the_next_one_is_refused() -> None:
    visit = Visit(FakeReception(TooMany("Too many.", 7.0, ["user ann"]), room=0))

    await visit.come()

    assert visit.sent[0]["status"] == 403


async def test_a_fault_of_the_hub_puts_a_client_off_and_is_no_secret() -> None:
    visit = Visit(FakeReception(RuntimeError("a bug")))

    with pytest.raises(RuntimeError, match="a bug"):
        await visit.come()

    assert [message["type"] for message in visit.sent] == ["websocket.accept", "websocket.close"]
    assert visit.sent[1]["code"] == 1012


async def test_another_generation_of_clients_is_told_what_to_do() -> None:
    visit = Visit(FakeReception())
    visit.coming.put_nowait({"type": "websocket.receive", "text": "{}"})

    assert await visit.come("") == ["accept", "send", "close"]

    assert "text" in visit.sent[1]
    assert visit.sent[2]["code"] == 1008
