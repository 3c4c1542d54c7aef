"""Whatever command to Redis fails while a client comes, returns, or is sent away: nothing is lost.

tests/integration/test_failing_commands.py has the same for each change in the registry by itself.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from urllib.parse import parse_qs

import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from hypha_cluster.clients import drain, expulsion
from hypha_cluster.clients.life import GOING_AWAY
from hypha_cluster.config import Config
from hypha_cluster.links.commands import Commands
from hypha_cluster.links.servers import Servers
from hypha_cluster.node import Node
from hypha_cluster.protocol.address import client_of
from hypha_cluster.registry import scripts
from hypha_cluster.registry.keys import Keys
from hypha_cluster.web import put_off
from tests.failing_commands import FailingCommands, Failure
from tests.gateways import SECOND
from tests.in_process import served
from tests.raw_client import (
    MANAGER,
    RawClient,
    Rejected,
    call_envelope,
    frame,
    promise_of,
    unpack,
)

LIMIT: Final = 30 * SECOND
MOST: Final = 60  # commands of one step in a client's life
NEVER: Final = 1_000_000
NOTES: Final = [1, 2, 3]
FAILURES: Final = [Failure.NOT_SENT, Failure.UNANSWERED, Failure.SENT_TWICE]

Home = dict[str, str]


class Armed(FailingCommands):
    """Commands of a gateway, one of which fails once it is said which."""

    made: list["Armed"] = []
    is_cluster = False

    def __init__(self, servers: Servers, *args: Any, **more: Any) -> None:
        servers.is_cluster = self.is_cluster
        Commands.__init__(self, servers, *args, **more)
        self.disarm()
        self.made.append(self)

    def arm(self, number: int, failure: Failure) -> None:
        self._asked, self._number, self._failure = 0, number, failure

    def disarm(self) -> None:
        self.arm(NEVER, Failure.NOT_SENT)


class Stage:
    """Two gateways; some commands of the first one fail."""

    def __init__(self, redis: Redis, keys: Keys, nodes: list[tuple[str, Node]]) -> None:
        self.redis = redis
        self.keys = keys
        (self.url, self.node), (self.other, _) = nodes
        self.commands = Armed.made[0]

    async def see_to_what_failed(self) -> None:
        """As the jobs of the node do it, once a second."""
        self.commands.disarm()
        await self.node._presence.tell_again()
        await self.node._mail.recover()

    async def until(self, address: str, state: bytes | None) -> None:
        async with asyncio.timeout(LIMIT):
            while await self.redis.hget(self.keys.client(address), "state") != state:
                await self.node._presence.tell_again()
                await asyncio.sleep(0.01)

    async def keys_of(self, client: str) -> list[bytes]:
        found = [key async for key in self.redis.scan_iter(self.keys.everything())]
        return [key for key in found if f"/{client}".encode() in key and not key.endswith(b":left")]


@asynccontextmanager
async def staged(url: str, redis: Redis, prefix: str) -> AsyncIterator[Stage]:
    Armed.made.clear()
    config = Config(
        redis_url=url,
        redis_prefix=prefix,
        host="127.0.0.1",
        port=0,
        lease_interval=600.0,  # no other commands fall between
        lease_ttl=1800.0,
        drain_delay=0.0,
        drain_time=1.0,
    )
    async with served(config) as first, served(config) as second:
        yield Stage(redis, Keys(prefix), [first, second])


@pytest.fixture(autouse=True, params=[False, True], ids=["server", "cluster"])
def _shape(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Redis be one server, or do without the scripts that need all keys in one."""
    monkeypatch.setattr(Armed, "is_cluster", request.param)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait who waits only for the sake of old clients."""
    monkeypatch.setattr(scripts, "Commands", Armed)
    monkeypatch.setattr(put_off, "PUT_OFF", 0.05)
    monkeypatch.setattr(drain, "YOUNGEST", 0.0)
    monkeypatch.setattr(expulsion, "LOOK_EVERY", 600.0)


@pytest.fixture(params=FAILURES, ids=lambda each: each.name.lower())
def failure(request: pytest.FixtureRequest) -> Failure:
    """How a command fails."""
    found: Failure = request.param
    return found


@pytest.fixture
async def stage(valkey_url: str, redis: Redis, redis_prefix: str) -> AsyncIterator[Stage]:
    async with staged(valkey_url, redis, redis_prefix) as stage:
        yield stage


@pytest.fixture
async def host(stage: Stage) -> AsyncIterator[RawClient]:
    """Somebody at the gateway whose commands do not fail."""
    async with await RawClient.connect(stage.other) as host:
        yield host


@pytest.fixture
async def home(host: RawClient) -> Home:
    """With what others enter the workspace of the host."""
    return await home_of(host)


async def home_of(host: RawClient) -> Home:
    return {"workspace": host.workspace, "token": await host.manager("generate_token")}


async def notes_of(url: str, query: str) -> tuple[list[int], bool]:
    """Connect and take all notes that wait; say whether the connection was put off."""
    (client,) = parse_qs(query)["client_id"]
    call = call_envelope(MANAGER, "services.default.echo", session="last")
    notes: list[int] = []
    async with asyncio.timeout(LIMIT), connect(f"{url.replace('http', 'ws')}/ws?{query}") as socket:
        try:
            # Whoever is let in is answered, after all that has waited for it.
            await socket.send(frame(call, {"args": [1], "promise": promise_of(client, "last")}))
            while True:
                received = unpack(await socket.recv(decode=False))
                if received.method == "last.resolve":
                    break
                if received.method != "last.reject":  # by which who is put off is told so
                    notes.append(received.envelope["number"])
        except ConnectionClosed:
            return notes, True
        socket.transport.abort()
    return notes, False


async def listed(host: RawClient, number: int) -> set[str]:
    """The public services of the client of this number."""
    found = [str(each["id"]) for each in await host.manager("list_services", "public")]
    places = [id_.rpartition(":") for id_ in found]
    return {name for address, _, name in places if client_of(address) == f"n{number}end"}


Trial = Callable[[int], Awaitable[bool]]


async def until_nothing_fails(trial: Trial) -> None:
    """Let each command fail in turn, until there is none left that could."""
    for number in itertools.count(1):
        assert number < MOST
        if not await trial(number):
            return


async def test_a_client_that_connects_is_let_in_in_the_end(
    stage: Stage, host: RawClient, home: Home, failure: Failure
) -> None:
    async def trial(number: int) -> bool:
        query = f"client_id=n{number}end&workspace={home['workspace']}&token={home['token']}"
        stage.commands.arm(number, failure)
        _, is_put_off = await notes_of(stage.url, query)
        has_failed = stage.commands.has_failed
        await stage.see_to_what_failed()
        if not is_put_off:
            await stage.until(f"{host.workspace}/n{number}end", b"suspended")

        async with await RawClient.connect(stage.url, f"n{number}end", **home) as client:
            assert await host.call(client.address, "services.built-in.ping", "x") == "pong"
        await stage.until(client.address, None)
        await stage.see_to_what_failed()
        assert await stage.keys_of(f"n{number}end") == []
        return has_failed

    await until_nothing_fails(trial)


async def test_a_client_that_returns_misses_nothing_and_gets_nothing_twice(
    stage: Stage, host: RawClient, home: Home, failure: Failure
) -> None:
    async def trial(number: int) -> bool:
        client = await RawClient.connect(stage.other, f"n{number}end", **home)
        service = await client.offer("mirror", echo=lambda value: value)
        client.break_off()
        await stage.until(client.address, b"suspended")
        for note in NOTES:
            await host.send({"type": "note", "to": client.address, "number": note})
        await host.manager("echo", 1)  # so they have gone
        query = f"client_id=n{number}end&reconnection_token={client.info['reconnection_token']}"

        stage.commands.arm(number, failure)
        notes, is_put_off = await notes_of(stage.url, query)
        has_failed = stage.commands.has_failed
        if is_put_off:
            await stage.see_to_what_failed()
            more, is_put_off = await notes_of(stage.url, query)
            notes += more

        assert (notes, is_put_off) == (NOTES, False)
        assert service in [each["id"] for each in await host.manager("list_services")]
        await stage.see_to_what_failed()
        await stage.until(client.address, b"suspended")
        return has_failed

    await until_nothing_fails(trial)


async def test_what_a_client_offers_is_what_is_listed_when_it_tries_again(
    stage: Stage, host: RawClient, home: Home, failure: Failure
) -> None:
    async def trial(number: int) -> bool:
        client = await RawClient.connect(stage.url, f"n{number}end", **home)
        await client.offer("first", "public", echo=lambda value: value)
        stage.commands.arm(number, failure)
        with suppress(Rejected):
            await client.offer("second", "public", echo=lambda value: value)
        has_failed = stage.commands.has_failed

        await stage.see_to_what_failed()
        await client.offer("second", "public", echo=lambda value: value)
        assert await listed(host, number) == {"second"}

        await client.close()
        await stage.until(client.address, None)
        await stage.see_to_what_failed()
        assert await listed(host, number) == set()
        assert await stage.keys_of(f"n{number}end") == []
        return has_failed

    await until_nothing_fails(trial)


async def test_a_client_that_leaves_is_nowhere_any_more(
    stage: Stage, host: RawClient, home: Home, failure: Failure
) -> None:
    async def trial(number: int) -> bool:
        client = await RawClient.connect(stage.url, f"n{number}end", **home)
        await client.offer("mirror", "public", echo=lambda value: value)
        assert await listed(host, number) == {"mirror"}
        stage.commands.arm(number, failure)
        await client.close()
        async with asyncio.timeout(LIMIT):
            while stage.node._connections.get(client.address):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await stage.node._clients._detaching.settled()
        has_failed = stage.commands.has_failed
        await stage.see_to_what_failed()

        assert await stage.keys_of(f"n{number}end") == []
        assert await listed(host, number) == set()
        return has_failed

    await until_nothing_fails(trial)


async def test_a_client_that_is_sent_away_misses_nothing(
    valkey_url: str, redis: Redis, redis_prefix: str, failure: Failure
) -> None:
    async def trial(number: int) -> bool:
        async with (
            staged(valkey_url, redis, f"{redis_prefix}-{number}") as stage,
            await RawClient.connect(stage.other) as host,
        ):
            home = await home_of(host)
            client = await RawClient.connect(stage.url, "me", **home)
            stage.commands.arm(number, failure)
            draining = asyncio.create_task(stage.node.drain())
            code = await client.closed()
            await draining
            has_failed = stage.commands.has_failed
            await stage.node._clients.stop()
            await stage.see_to_what_failed()
            for note in NOTES:
                await host.send({"type": "note", "to": client.address, "number": note})
            await host.manager("echo", 1)  # so they have gone

            token = client.info["reconnection_token"]
            query = f"client_id=me&reconnection_token={token}"
            notes, is_put_off = await notes_of(stage.other, query)

            assert (code, notes, is_put_off) == (GOING_AWAY, NOTES, False)
            return has_failed

    await until_nothing_fails(trial)
