"""A client is let in by an event stream, which is kept until it ends, or sent away later."""

import asyncio
import base64
from typing import Any, cast

import pytest
from starlette.types import Message

from hypha_cluster.errors import (
    BadRequest,
    Conflict,
    HubError,
    NotYetBack,
    RedisUnavailable,
    TooMany,
)
from hypha_cluster.registry.streams import Streams
from hypha_cluster.relay.connection import Connection
from hypha_cluster.supervision import Supervisor
from hypha_cluster.web import sse
from hypha_cluster.web.posting import Here, Posting
from hypha_cluster.web.reception import Reception
from hypha_cluster.web.sse import PING, SseApi, Terms
from tests.fakes import FakeClock
from tests.unit.web.fake_reception import FakeReception

LIMIT = 5.0
SESSION = "session_id=0123456789"
ASKED = f"client_id=me&workspace=ann&{SESSION}"


class Hub:
    """Streams are opened, kept and closed here; one with `taken` keys of others."""

    def __init__(self, reception: FakeReception, public_base_url: str = "") -> None:
        self.reception = reception
        self.clock = FakeClock()
        self.turns = asyncio.Semaphore(0)  # how often the time of a ping may come
        self.opened: list[tuple[str, str]] = []
        self.kept: list[str] = []
        self.here: dict[str, Here] = {}
        self.error: HubError | None = None
        parts: list[Any] = [reception, self, self]
        supervisor = Supervisor(clock=self.clock, sleep=self._sleep)
        self.api = SseApi(
            cast(Reception, parts[0]),
            cast(Posting, _Posting(self)),
            cast(Streams, _Streams(self)),
            self._make_token,
            Terms(public_base_url, 60.0),
            supervisor,
        )
        self.tokens = 0

    def _make_token(self, connection: Connection) -> str:
        self.tokens += 1
        return f"token-{self.tokens}"

    async def _sleep(self, seconds: float) -> None:
        await self.turns.acquire()
        self.clock.now += seconds


class _Streams:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def open(self, key: str, address: str) -> None:
        if self._hub.error is not None:
            raise self._hub.error
        self._hub.opened.append((key, address))

    async def keep(self, key: str, address: str) -> None:
        self._hub.kept.append(address)
        if self._hub.error is not None:
            raise self._hub.error


class _Posting:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def open(self, key: str, here: Here) -> None:
        self._hub.here[key] = here

    def close(self, key: str, here: Here) -> None:
        assert self._hub.here.pop(key) is here


class Browser:
    """Asks for a stream, and reads it until it leaves."""

    def __init__(self, hub: Hub, query: str = ASKED, method: str = "GET", **headers: str) -> None:
        self.hub = hub
        self.got: list[Message] = []
        self._changed = asyncio.Event()
        self._left = asyncio.Event()
        named = {"host": "hub", **{name.replace("_", "-"): each for name, each in headers.items()}}
        self._scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": "/sse",
            "scheme": "http",
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.encode(), each.encode()) for name, each in named.items()],
        }
        self.task = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        async with asyncio.timeout(LIMIT):
            await self.hub.api.serve(self._scope, self._receive, self._send)

    async def _receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.got.append(message)
        self._changed.set()

    @property
    def text(self) -> str:
        return b"".join(each.get("body", b"") for each in self.got).decode()

    async def until(self, part: str) -> str:
        async with asyncio.timeout(LIMIT):
            while part not in self.text:
                self._changed.clear()
                await self._changed.wait()
        return self.text

    async def leave(self) -> None:
        self._left.set()
        await self.task


@pytest.fixture
def hub() -> Hub:
    return Hub(FakeReception(is_lasting=True))


@pytest.fixture(autouse=True)
def promptly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "PUT_OFF", 0.05)


async def test_a_stream_says_by_what_its_client_comes_back(hub: Hub) -> None:
    browser = Browser(hub)

    text = await browser.until("id: token-1")

    assert text.startswith("retry: ")
    assert browser.got[0]["status"] == 200
    (arrival,) = hub.reception.arrivals
    assert (arrival.way.base_url, arrival.way.refresh_after) == ("http://hub", 0.0)
    await browser.leave()


async def test_a_stream_is_here_until_it_ends(hub: Hub) -> None:
    browser = Browser(hub)
    await browser.until("id: ")

    ((key, here),) = hub.here.items()
    assert hub.opened == [(key, "ann/me")]
    assert here.address == "ann/me"
    await browser.leave()

    assert hub.here == {}
    assert hub.reception.endings == [1006]
    async with asyncio.timeout(LIMIT):
        await hub.api._tasks.settled()  # nobody tends it any more


async def test_each_frame_is_an_event(hub: Hub) -> None:
    browser = Browser(hub)
    await browser.until("id: ")
    (here,) = hub.here.values()

    here.stream.send(b"\x80frame")

    event = base64.b64encode(b"\x80frame").decode()
    await browser.until(f"data: {event}\n\n")
    await browser.leave()


async def test_a_stream_that_says_nothing_is_kept_from_being_forgotten(hub: Hub) -> None:
    browser = Browser(hub)
    await browser.until("id: ")

    hub.turns.release()
    await browser.until("\n\n:")

    assert hub.kept == ["ann/me"]
    await browser.leave()


async def test_its_id_is_renewed_well_before_the_last_one_is_of_no_use(hub: Hub) -> None:
    browser = Browser(hub)
    await browser.until("id: token-1")

    for _ in range(int(60 / 3 / PING) + 1):
        hub.turns.release()

    await browser.until("id: token-2")
    await browser.leave()


async def test_a_stream_outlives_redis(hub: Hub) -> None:
    browser = Browser(hub)
    await browser.until("id: ")
    hub.error = RedisUnavailable("Redis is away.")

    for _ in range(int(60 / 3 / PING) + 1):
        hub.turns.release()

    await browser.until("id: token-2")
    assert len(hub.kept) > 1
    await browser.leave()


async def test_what_a_browser_had_last_is_fresher_than_what_it_asks_for(hub: Hub) -> None:
    browser = Browser(hub, f"{ASKED}&reconnection_token=old", last_event_id="new")
    await browser.until("id: ")

    assert hub.reception.asked[0]["reconnection_token"] == "new"
    await browser.leave()


async def test_what_only_looks_opens_nothing(hub: Hub) -> None:
    browser = Browser(hub, method="HEAD")

    await browser.task

    assert browser.got[0]["status"] == 200
    assert hub.reception.asked == []


@pytest.mark.parametrize("error", [BadRequest("client_id is missing."), TooMany("Too many.", 3.0)])
async def test_a_refusal_is_answered_further_out(error: HubError) -> None:
    reception = FakeReception(error)
    browser = Browser(Hub(reception))

    with pytest.raises(type(error)):
        await browser.task

    assert browser.got == []
    assert reception.refusals == [error]


async def test_the_session_of_another_client_is_refused(hub: Hub) -> None:
    hub.error = Conflict("The session_id is in use by another client.")

    with pytest.raises(Conflict):
        await Browser(hub).task

    assert hub.here == {}


@pytest.mark.parametrize(
    "error",
    [
        RedisUnavailable("Redis is away."),
        NotYetBack("Wait."),
        TooMany("Too many.", 3.0, ["user ann"]),
    ],
)
async def test_who_is_to_come_back_is_let_in_and_sent_away_later(error: HubError) -> None:
    """Browsers never come back after another answer than 200."""
    reception = FakeReception(error)
    browser = Browser(Hub(reception))

    await browser.task

    assert browser.got[0]["status"] == 200
    assert browser.text.startswith("retry: ")
    assert reception.refusals == [error]
    assert reception.alive == []


async def test_where_too_many_wait_the_next_one_is_refused() -> None:
    reception = FakeReception(TooMany("Too many.", 3.0, ["user ann"]), room=0)

    with pytest.raises(TooMany):
        await Browser(Hub(reception)).task


async def test_a_fault_of_the_hub_is_no_end_for_a_client_and_no_secret() -> None:
    browser = Browser(Hub(FakeReception(RuntimeError("a bug"))))

    with pytest.raises(RuntimeError, match="a bug"):
        await browser.task

    assert browser.got[0]["status"] == 200
