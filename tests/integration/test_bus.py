"""Frames between nodes: the contract of the bus, on a real server and of its twin in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Protocol

import pytest
from redis.asyncio import Redis

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.links.urls import find_servers
from hypha_cluster.registry.keys import Keys
from hypha_cluster.relay.bus import Listener, Outcome, Publisher, Receivers
from hypha_cluster.relay.listener import RedisListener
from hypha_cluster.relay.publisher import Limits, RedisPublisher
from tests.fakes import MemoryBus, MemoryListener, MemoryPublisher
from tests.gateways import SECOND
from tests.raw_client import pack

LIMIT = 10 * SECOND
TAKEN = None  # no outcome is told of a frame that somebody has taken
ME, YOU = "lab/me", "lab/you"
LIMITS = Limits(mailbox_size=1_000, mailbox_frames=5, mail_lifetime=60.0)
TIMEOUT = 2.0  # seconds


async def no_mail(address: str) -> list[bytes]:
    return []


class TestNode:
    """A node that has nothing but a bus, and what came to it."""

    __test__ = False

    def __init__(self) -> None:
        self.frames: list[tuple[str | None, bytes]] = []
        self.own: list[bytes] = []
        self.events: list[bytes] = []
        self.missed: Callable[[str], Awaitable[list[bytes]]] = no_mail
        self.receivers = Receivers(self._receive, self._take_own, self._take_event, self._missed)
        self._changed = asyncio.Condition()

    def open(self, publisher: Publisher, listener: Listener) -> None:
        self.send, self.announce = publisher.deliver_or_mail, publisher.announce
        self.publish_to_node = publisher.publish_to_node
        self.join, self.leave, self.echoed = listener.join, listener.leave, listener.echoed

    def _receive(self, address: str | None, frame: bytes) -> None:
        self.frames.append((address, frame))
        self._wake()

    async def _missed(self, address: str) -> list[bytes]:
        return await self.missed(address)

    def _take_own(self, frame: bytes) -> None:
        self.own.append(frame)
        self._wake()

    def _take_event(self, event: bytes) -> None:
        self.events.append(event)
        self._wake()

    def _wake(self) -> None:
        self._waker = asyncio.get_running_loop().create_task(self._notify())

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def has(self, count: int, what: list[bytes] | list[tuple[str | None, bytes]]) -> None:
        async with asyncio.timeout(LIMIT), self._changed:
            await self._changed.wait_for(lambda: len(what) >= count)

    async def publish(self, address: str, frame: bytes) -> Outcome | None:
        """Publish and say what became of it; a taker is only noticed by what comes after."""
        outcomes: list[Outcome] = []
        ended = asyncio.Event()
        self.send(address, frame, outcomes.append)
        self.send("nobody/there", b"", lambda outcome: ended.set())
        await asyncio.wait_for(ended.wait(), LIMIT)
        return outcomes[0] if outcomes else TAKEN


class Rig(Protocol):
    """One of the two buses, and what is behind it."""

    def running(self, name: str, limits: Limits) -> AbstractAsyncContextManager[TestNode]:
        """A node on this bus."""

    async def suspend(self, address: str) -> None:
        """Have a client suspended."""

    async def mail(self, address: str) -> list[bytes]:
        """What waits for a client."""

    async def cut(self, node: str) -> None:
        """Break what a node hears by; it hears again by itself."""


class RedisRig:
    """The real bus."""

    def __init__(self, url: str, redis: Redis, keys: Keys) -> None:
        self._url = url
        self._redis = redis
        self._keys = keys
        self.recoveries: dict[str, Recovery] = {}

    @asynccontextmanager
    async def running(self, name: str, limits: Limits) -> AsyncIterator[TestNode]:
        servers, recovery, node = find_servers(self._url, TIMEOUT), Recovery(), TestNode()
        publisher = RedisPublisher(servers, self._keys, name, limits, recovery)
        listener = RedisListener(servers, self._keys, name, publisher, node.receivers, recovery)
        self.recoveries[name] = recovery
        await publisher.start()
        await listener.start()
        node.open(publisher, listener)
        keeper = asyncio.create_task(listener.run())
        yield node
        keeper.cancel()
        await asyncio.wait([keeper])
        await listener.stop()
        await publisher.aclose()
        await servers.aclose()

    async def suspend(self, address: str) -> None:
        await self._redis.hset(self._keys.client(address), "state", "suspended")

    async def mail(self, address: str) -> list[bytes]:
        marked: list[bytes] = await self._redis.lrange(self._keys.mail(address), 0, -1)  # type: ignore[assignment]
        assert all(frame.startswith(b"0") for frame in marked)  # 0: no calls
        return [frame[1:] for frame in marked]

    async def cut(self, node: str) -> None:
        await cut(self._redis, "subscribe", node)


class MemoryRig:
    """The bus that unit tests have."""

    def __init__(self) -> None:
        self._bus = MemoryBus(LIMITS)
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self, name: str, limits: Limits) -> AsyncIterator[TestNode]:
        node = TestNode()
        node.open(
            MemoryPublisher(self._bus, limits), MemoryListener(self._bus, name, node.receivers)
        )
        yield node
        await asyncio.gather(*self._tasks)

    async def suspend(self, address: str) -> None:
        self._bus.known.add(address)

    async def mail(self, address: str) -> list[bytes]:
        return self._bus.mail.get(address, [])

    async def cut(self, node: str) -> None:
        listener = self._bus.nodes[node]
        listener.lose()
        self._tasks.add(asyncio.create_task(listener.hear_again()))


class NodeFactory(Protocol):
    async def __call__(self, name: str, limits: Limits = LIMITS) -> TestNode: ...


@pytest.fixture(params=["redis", "memory"])
def rig(request: pytest.FixtureRequest) -> Rig:
    if request.param == "memory":
        return MemoryRig()
    real: Rig = request.getfixturevalue("redis_rig")
    return real


@pytest.fixture
def redis_rig(valkey_url: str, redis: Redis, keys: Keys) -> RedisRig:
    return RedisRig(valkey_url, redis, keys)


@pytest.fixture
async def nodes(rig: Rig) -> AsyncIterator[NodeFactory]:
    async with AsyncExitStack() as stack:

        async def start(name: str, limits: Limits = LIMITS) -> TestNode:
            return await stack.enter_async_context(rig.running(name, limits))

        yield start


@pytest.fixture
async def redis_nodes(redis_rig: RedisRig) -> AsyncIterator[NodeFactory]:
    """Nodes on the real bus, for what only that has."""
    async with AsyncExitStack() as stack:

        async def start(name: str, limits: Limits = LIMITS) -> TestNode:
            return await stack.enter_async_context(redis_rig.running(name, limits))

        yield start


async def test_a_frame_comes_to_the_node_that_has_joined_its_address(nodes: NodeFactory) -> None:
    here, there, elsewhere = await nodes("here"), await nodes("there"), await nodes("elsewhere")
    await there.join(YOU)
    await elsewhere.join("lab/other")

    assert await here.publish(YOU, b"frame") is TAKEN

    await there.has(1, there.frames)
    assert there.frames == [(YOU, b"frame")]
    assert elsewhere.frames == []


async def test_a_node_can_publish_to_itself(nodes: NodeFactory) -> None:
    here = await nodes("here")
    await here.join(ME)

    here.send(ME, b"frame")

    await here.has(1, here.frames)
    assert here.frames == [(ME, b"frame")]


async def test_frames_keep_their_order(nodes: NodeFactory) -> None:
    here, there = await nodes("here"), await nodes("there")
    await there.join(YOU)
    frames = [b"%d " % number + bytes(number % 7 * 20_000) for number in range(300)]

    for number, frame in enumerate(frames):
        here.send(YOU, frame)
        if number % 50 == 0:
            await asyncio.sleep(0)

    await there.has(300, there.frames)
    assert [frame for _, frame in there.frames] == frames


async def test_any_bytes_are_carried_as_they_are(nodes: NodeFactory) -> None:
    here, there = await nodes("here"), await nodes("there")
    await there.join(YOU)
    frames = [b"x", bytes(range(256)), b"\r\n$-1\r\n", bytes(3_000_000)]

    for frame in frames:
        here.send(YOU, frame)

    await there.has(len(frames), there.frames)
    assert [frame for _, frame in there.frames] == frames


async def test_joining_ends_when_frames_will_come(nodes: NodeFactory) -> None:
    here, there = await nodes("here"), await nodes("there")

    for number in range(50):
        address = f"lab/client{number}"
        await there.join(address)
        assert await here.publish(address, b"frame") is TAKEN

    await there.has(50, there.frames)


async def test_leaving_ends_when_no_more_frames_will_come(nodes: NodeFactory) -> None:
    here, there = await nodes("here"), await nodes("there")
    await there.join(YOU)

    for number in range(100):
        here.send(YOU, b"%d" % number)
    await there.leave(YOU)
    received = len(there.frames)

    assert await here.publish(YOU, b"late") is Outcome.NOBODY
    assert len(there.frames) == received
    assert b"late" not in [frame for _, frame in there.frames]


async def test_an_address_can_be_left_and_joined_again(nodes: NodeFactory) -> None:
    here, there = await nodes("here"), await nodes("there")
    for _ in range(20):
        await there.join(YOU)
        await there.leave(YOU)
    await there.join(YOU)

    assert await here.publish(YOU, b"frame") is TAKEN
    await there.has(1, there.frames)


async def test_nobody_takes_a_frame_for_a_client_that_is_not_there(nodes: NodeFactory) -> None:
    here = await nodes("here")

    assert await here.publish(YOU, b"frame") is Outcome.NOBODY


def _note(told: list[int], number: int, outcome: Outcome) -> None:
    told.append(number)


async def test_the_fate_of_each_frame_is_told_in_order(nodes: NodeFactory) -> None:
    here, there = await nodes("here"), await nodes("there")
    await there.join(YOU)
    told: list[int] = []
    for number in range(100):
        address = YOU if number % 3 else f"lab/nobody{number}"
        here.send(address, b"x", partial(_note, told, number))

    await here.publish("lab/last", b"x")

    assert told == list(range(0, 100, 3))


# Mail.


async def test_a_frame_for_a_client_that_is_away_waits_for_it(nodes: NodeFactory, rig: Rig) -> None:
    here = await nodes("here")
    await rig.suspend(YOU)

    outcomes = [await here.publish(YOU, frame) for frame in (b"one", b"two")]

    assert outcomes == [Outcome.MAILED] * 2
    assert await rig.mail(YOU) == [b"one", b"two"]


async def test_mail_is_counted_and_expires(
    redis_nodes: NodeFactory, redis_rig: Rig, redis: Redis, keys: Keys
) -> None:
    here = await redis_nodes("here")
    await redis_rig.suspend(YOU)

    outcomes = [await here.publish(YOU, frame) for frame in (b"one", b"two")]

    assert outcomes == [Outcome.MAILED] * 2
    assert int(await redis.get(keys.mail_size(YOU)) or 0) == 6
    for key in (keys.mail(YOU), keys.mail_size(YOU)):
        assert 55_000 < await redis.pttl(key) <= 60_000


@pytest.mark.parametrize(("size", "frames"), [(400, 2), (10, 5), (1_001, 0)])
async def test_a_mailbox_takes_no_more_than_it_may(
    nodes: NodeFactory, rig: Rig, size: int, frames: int
) -> None:
    here = await nodes("here")
    await rig.suspend(YOU)

    outcomes = [await here.publish(YOU, bytes(size)) for _ in range(7)]

    assert outcomes == [Outcome.MAILED] * frames + [Outcome.MAILBOX_FULL] * (7 - frames)
    assert len(await rig.mail(YOU)) == frames


async def test_live_frames_are_not_mailed(nodes: NodeFactory, rig: Rig) -> None:
    here, there = await nodes("here"), await nodes("there")
    await rig.suspend(YOU)
    await here.publish(YOU, b"mail")
    await there.join(YOU)

    assert await here.publish(YOU, b"live") is TAKEN

    await there.has(1, there.frames)
    assert there.frames == [(YOU, b"live")]
    assert await rig.mail(YOU) == [b"mail"]


async def test_an_echo_comes_after_all_that_was_published_before(nodes: NodeFactory) -> None:
    here = await nodes("here")
    await here.join(ME)
    for number in range(20):
        here.send(ME, b"%d" % number)

    await here.echoed(ME)

    assert len(here.frames) == 20


# Nodes among themselves.


async def test_a_frame_or_an_event_can_be_for_a_node_itself(nodes: NodeFactory) -> None:
    here, there = await nodes("here"), await nodes("there")

    frame, event = pack({"type": "frame"}), pack(["event"])

    here.publish_to_node("there", frame)
    here.publish_to_node("there", event)

    await there.has(1, there.own)
    await there.has(1, there.events)
    assert (there.own, there.events) == ([frame], [event])
    assert here.own == here.events == []


async def test_a_frame_for_a_node_that_is_not_there_is_nobodys(nodes: NodeFactory) -> None:
    here = await nodes("here")
    outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    here.publish_to_node("gone", b"frame", outcome.set_result)

    assert await asyncio.wait_for(outcome, LIMIT) is Outcome.NOBODY


async def test_an_event_comes_to_all_nodes(nodes: NodeFactory) -> None:
    all_nodes = [await nodes(name) for name in ("a", "b", "c")]

    all_nodes[0].announce(b"event")

    for node in all_nodes:
        await node.has(1, node.events)
        assert node.events == [b"event"]


async def test_clusters_on_one_server_do_not_hear_each_other(
    redis_nodes: NodeFactory, valkey_url: str, redis: Redis
) -> None:
    here = await redis_nodes("here")
    another = RedisRig(valkey_url, redis, Keys("another-cluster"))
    async with another.running("here", LIMITS) as other:
        await other.join(YOU)
        here.announce(b"event")

        assert await here.publish(YOU, b"frame") is Outcome.NOBODY
        assert (other.frames, other.events, other.own) == ([], [], [])


# Connections that break.


async def links(redis: Redis, kind: str, node: str) -> list[str]:
    clients = await redis.client_list()
    return [client["id"] for client in clients if client["name"] == f"hypha-{node}-{kind}"]


async def cut(redis: Redis, kind: str, node: str) -> None:
    for client in await links(redis, kind, node):
        await redis.client_kill_filter(_id=client)


async def test_a_broken_subscription_comes_back_with_all_its_addresses(
    redis_nodes: NodeFactory, redis_rig: RedisRig, redis: Redis
) -> None:
    here, there = await redis_nodes("here"), await redis_nodes("there")
    addresses = [f"lab/client{number}" for number in range(600)]
    await asyncio.gather(*(there.join(address) for address in addresses))

    await cut(redis, "subscribe", "there")
    await asyncio.wait_for(redis_rig.recoveries["there"].needed(), LIMIT)

    for address in addresses:
        here.send(address, address.encode())
    await there.has(len(addresses), there.frames)
    assert [address for address, _ in there.frames] == addresses


async def test_frames_wait_for_a_broken_publisher(redis_nodes: NodeFactory, redis: Redis) -> None:
    here, there = await redis_nodes("here"), await redis_nodes("there")
    await there.join(YOU)

    await cut(redis, "publish", "here")
    async with asyncio.timeout(LIMIT):
        while not await links(redis, "publish", "here"):
            here.send(YOU, b"frame")
            await asyncio.sleep(0.01)
    here.send(YOU, b"last")

    async with asyncio.timeout(LIMIT):
        while (YOU, b"last") not in there.frames:
            await there.has(len(there.frames) + 1, there.frames)
    assert there.frames[-1] == (YOU, b"last")


async def test_a_publisher_that_comes_back_knows_its_script(
    redis_nodes: NodeFactory, redis: Redis
) -> None:
    here = await redis_nodes("here")
    await redis.script_flush()

    await cut(redis, "publish", "here")
    async with asyncio.timeout(LIMIT):
        while not await links(redis, "publish", "here"):  # noqa: ASYNC110  (only Redis knows)
            await asyncio.sleep(0.01)

    assert await here.publish(YOU, b"frame") is Outcome.NOBODY


async def test_no_redis_is_a_clear_error(keys: Keys) -> None:
    rig = RedisRig("unix:///nowhere/at/all.sock", Redis(), keys)

    with pytest.raises(RedisUnavailable, match="cannot be reached"):
        async with rig.running("here", LIMITS):
            pass


async def test_a_node_has_two_connections_for_frames(
    redis_nodes: NodeFactory, redis: Redis
) -> None:
    here = await redis_nodes("here")
    await asyncio.gather(*(here.join(f"lab/client{number}") for number in range(100)))

    assert len(await links(redis, "publish", "here")) == 1
    assert len(await links(redis, "subscribe", "here")) == 1


# What could not be heard for a while.


class Mailbox:
    """Mail that is handed over when it is told to; `asked` when somebody waits for it."""

    def __init__(self, *mail: bytes) -> None:
        self.asked, self.given = asyncio.Event(), asyncio.Event()
        self._mail = list(mail)

    async def take(self, address: str) -> list[bytes]:
        self.asked.set()
        await self.given.wait()
        mail, self._mail = self._mail, []
        return mail

    async def fail(self, address: str) -> list[bytes]:
        await self.take(address)
        raise RedisUnavailable("It loads.")


async def test_what_was_missed_comes_before_what_comes_anew(nodes: NodeFactory, rig: Rig) -> None:
    here, there = await nodes("here"), await nodes("there")
    mailbox = Mailbox(b"missed")
    there.missed = mailbox.take
    await there.join(YOU)

    await rig.cut("there")
    await asyncio.wait_for(mailbox.asked.wait(), LIMIT)
    assert await here.publish(YOU, b"new") is TAKEN
    mailbox.given.set()

    await there.has(2, there.frames)
    assert there.frames == [(YOU, b"missed"), (YOU, b"new")]


async def test_an_address_can_be_left_while_what_it_missed_is_collected(
    nodes: NodeFactory, rig: Rig
) -> None:
    here, there = await nodes("here"), await nodes("there")
    mailbox = Mailbox(b"missed")
    there.missed = mailbox.take
    await there.join(YOU)
    await rig.cut("there")
    await asyncio.wait_for(mailbox.asked.wait(), LIMIT)
    assert await here.publish(YOU, b"new") is TAKEN

    leaving = asyncio.create_task(there.leave(YOU))
    while await here.publish(YOU, b"late") is TAKEN:
        pass
    mailbox.given.set()

    frames = await asyncio.wait_for(leaving, LIMIT)
    assert frames[:2] == [b"missed", b"new"]
    assert there.frames == []


async def test_a_mailbox_that_cannot_be_read_loses_nothing_of_a_client_that_goes(
    nodes: NodeFactory, rig: Rig
) -> None:
    here, there = await nodes("here"), await nodes("there")
    mailbox = Mailbox()
    there.missed = mailbox.fail
    await there.join(YOU)
    await rig.cut("there")
    await asyncio.wait_for(mailbox.asked.wait(), LIMIT)
    assert await here.publish(YOU, b"new") is TAKEN

    leaving = asyncio.create_task(there.leave(YOU))
    while await here.publish(YOU, b"late") is TAKEN:
        pass
    mailbox.given.set()

    assert (await asyncio.wait_for(leaving, LIMIT))[:1] == [b"new"]
    await there.join(YOU)  # and the node goes on
    assert await here.publish(YOU, b"again") is TAKEN
