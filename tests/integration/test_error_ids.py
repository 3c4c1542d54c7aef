"""Whatever way somebody comes: a fault of the hub's shows them an id, and its log the traceback."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Final, NamedTuple

import pytest
from websockets.asyncio.client import connect

from hypha_cluster import log_fields
from hypha_cluster.config import Config
from hypha_cluster.features.webapps.entrance import Entrance
from hypha_cluster.hub.visiting import Visits
from hypha_cluster.registry.clients import ClientRegistry
from hypha_cluster.registry.logins import Logins
from hypha_cluster.registry.streams import Streams
from tests.http import ask
from tests.in_process import Flaw, served
from tests.raw_client import LIMIT, NO_ANSWER, RawClient
from tests.sse_client import EventSource

ID: Final = "asked-by-a-test"
FAULT: Final = KeyError("what nobody but the operator may read")


class Line(NamedTuple):
    """What was logged. trace: of which error, if any."""

    request_id: str
    text: str
    trace: str


class Log(logging.Handler):
    """Keeps what is logged, with the request that it is about when it is."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[Line] = []

    def emit(self, record: logging.LogRecord) -> None:
        trace = repr(record.exc_info[1]) if record.exc_info else ""
        about = log_fields.fields(record).get("request_id", "")
        self.lines.append(Line(about, record.getMessage(), trace))

    async def until_traced(self) -> None:
        """Wait until the id leads to the error, with its traceback: it is logged last."""
        async with asyncio.timeout(LIMIT):
            while not any(map(_is_of_fault, self.lines)):  # noqa: ASYNC110  (logs tell nobody)
                await asyncio.sleep(0.02)


def _is_of_fault(line: Line) -> bool:
    return line.request_id == ID and repr(FAULT) in line.trace


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Log]:
    caplog.set_level("INFO")
    handler = Log()
    logging.root.addHandler(handler)
    yield handler
    logging.root.removeHandler(handler)


@pytest.fixture(params=[True, False], ids=["fast", "hypercorn"])
async def url(
    request: pytest.FixtureRequest, valkey_url: str, redis_prefix: str
) -> AsyncIterator[str]:
    config = Config(
        redis_url=valkey_url,
        redis_prefix=redis_prefix,
        host="127.0.0.1",
        port=0,
        fast_websockets=request.param,
    )
    async with served(config) as (url, _):
        yield url


class Way(NamedTuple):
    """A request that somebody makes, and what is broken on its way."""

    method: str
    path: str
    owner: type
    broken: str


WAYS: Final = {
    "a call": Way("POST", "/public/services/x/f", Visits, "find"),
    "a description": Way("GET", "/public/services/x", Visits, "find"),
    "an old address": Way(
        "GET", "/services/call?service_id=x&workspace=public&function_key=f", Visits, "find"
    ),
    "a web application": Way("GET", "/public/apps/x/", Entrance, "admit"),
    "a posted frame": Way("POST", "/sse?session_id=0123456789", Streams, "find"),
    "a page": Way("GET", "/public/apps/hypha-login/?key=x", Logins, "waiting"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("accept", ["*/*", "text/html"])
async def test_a_fault_is_answered_with_the_id_of_its_log_line(
    url: str, log: Log, way: str, accept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, path, owner, broken = WAYS[way]
    Flaw(owner, broken, FAULT).put_into(monkeypatch)

    body = b"{}" if method == "POST" else None
    answer = await ask(f"{url}{path}", body, Accept=accept, X_Request_ID=ID)

    assert answer.status == 500
    assert answer.headers["x-request-id"] == ID
    assert ID in answer.body.decode()
    check_tells_nothing(answer.body.decode())
    await log.until_traced()


def check_tells_nothing(text: str) -> None:
    for told in ("Traceback", "nobody but the operator", ".py", "hypha_cluster"):
        assert told not in text


async def test_a_websocket_that_fails_is_opened_with_the_id(
    url: str, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is closed later: an error as the answer would disable the client for good."""
    Flaw(ClientRegistry, "claim", FAULT).put_into(monkeypatch)

    address = f"{url.replace('http', 'ws')}/ws?client_id=me"
    async with connect(address, additional_headers={"X-Request-ID": ID}) as socket:
        await socket.wait_closed()

        assert socket.response
        assert socket.response.headers["x-request-id"] == ID
        check_tells_nothing(socket.close_reason or "")
    await log.until_traced()


async def test_an_event_stream_that_fails_begins_with_the_id(
    url: str, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    Flaw(ClientRegistry, "claim", FAULT).put_into(monkeypatch)

    query = {"client_id": "me", "session_id": "0123456789"}
    source = await EventSource.open(url, query, X_Request_ID=ID)
    async for event in source.events():
        check_tells_nothing(event.data)
    source.close()

    assert source.headers["x-request-id"] == ID
    await log.until_traced()


async def test_a_failed_web_application_shows_its_visitor_no_more_than_that(
    url: str, log: Log
) -> None:
    """What its provider says is in the log, by the id; a trace is the provider's own affair."""
    async with await RawClient.connect(url) as provider:
        await provider.offer("site", "public", index=lambda event: NO_ANSWER)
        api = provider.functions["services.built-in.get_service"]("site") | {"type": "functions"}
        provider.functions["services.built-in.get_service"] = lambda wanted: api
        provider.functions["services.site.index"] = lambda event: {"status": "none"}
        info = {"id": f"{provider.client_id}:site", "type": "functions", "config": api["config"]}
        await provider.manager("update_client_info", {"id": provider.client_id, "services": [info]})

        answer = await ask(f"{url}/{provider.workspace}/apps/site/", X_Request_ID=ID)

    assert answer.status >= 500
    assert answer.headers["x-request-id"] == ID
    check_tells_nothing(answer.body.decode())
    assert any(line.request_id == ID and "web application" in line.text for line in log.lines)
