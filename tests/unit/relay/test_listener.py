"""What is heard is handed on in its order, also what comes while an address is left or caught up.

The same with a Redis, and with its twin in memory, is in integration/test_bus.py.
"""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.links.servers import Servers
from hypha_cluster.registry.keys import Keys
from hypha_cluster.relay import listener as module
from hypha_cluster.relay.bus import Receivers
from hypha_cluster.relay.listener import RedisListener
from hypha_cluster.relay.publisher import RedisPublisher
from tests.raw_client import pack

KEYS = Keys("t")
ME = "ann/me"
CHANNEL = KEYS.channel(ME).encode()
OWN, EVENTS = KEYS.node_channel("here").encode(), KEYS.events().encode()
FRAME = pack({"type": "method", "to": "ann/~here"}) + pack({})
LIMIT = 5.0


class FakeSubscriptions:
    """Redis acknowledges what is asked of it when a test lets it."""

    def __init__(self, _servers: Any, _name: str, hear: Any, rejoin: Any, _recovery: Any) -> None:
        self.hear, self.rejoin = hear, rejoin
        self.heard: set[bytes] = set()
        self.open = asyncio.Event()
        self.open.set()
        self.reconnected = 0

    async def start(self, channels: Any) -> None:
        self.heard |= set(channels)

    async def join(self, channel: bytes) -> None:
        await self.open.wait()
        self.heard.add(channel)

    async def leave(self, channel: bytes) -> None:
        await self.open.wait()
        self.heard.discard(channel)

    def reconnect(self) -> None:
        self.reconnected += 1

    async def aclose(self) -> None:
        self.heard.clear()


class Scene:
    """A listener, what it hands on, and the mail that could not be heard."""

    def __init__(self, *, is_cluster: bool = False) -> None:
        self.frames: list[tuple[str | None, bytes]] = []
        self.own: list[bytes] = []
        self.events: list[bytes] = []
        self.mail: list[list[bytes] | Exception] = []
        self.collected = asyncio.Event()
        self.collected.set()
        self.published: list[bytes] = []
        self.doubts = 0
        access = SimpleNamespace(timeout=0.05)
        servers = SimpleNamespace(is_cluster=is_cluster, access=access, doubt=self._doubt)
        self.listener = RedisListener(
            cast(Servers, servers),
            KEYS,
            "here",
            cast(RedisPublisher, self),
            Receivers(self._take, self.own.append, self.events.append, self._missed),
            Recovery(),
        )
        self.redis = cast(FakeSubscriptions, self.listener._subscriptions)

    def _take(self, address: str | None, frame: bytes) -> None:
        self.frames.append((address, frame))

    async def _missed(self, address: str) -> list[bytes]:
        await self.collected.wait()
        mail = self.mail.pop(0) if self.mail else []
        if isinstance(mail, Exception):
            raise mail
        return mail

    def _doubt(self) -> None:
        self.doubts += 1

    def publish(self, channel: bytes, message: bytes) -> None:
        self.published.append(channel)


@pytest.fixture(autouse=True)
def _no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Subscriptions", FakeSubscriptions)
    monkeypatch.setattr(module, "_PAUSE", 0.0)


@pytest.fixture
async def scene() -> Any:
    scene = Scene()
    await scene.listener.start()
    running = asyncio.create_task(scene.listener.run())
    yield scene
    running.cancel()
    await asyncio.wait([running])


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_node_hears_its_own_channel_and_what_is_for_all(scene: Scene) -> None:
    scene.redis.hear(OWN, FRAME)
    scene.redis.hear(OWN, b"\x00an event")
    scene.redis.hear(EVENTS, b"\x00what changed")

    assert scene.redis.heard == {OWN, EVENTS}
    assert scene.own == [FRAME]
    assert scene.events == [b"\x00an event", b"\x00what changed"]


async def test_a_frame_is_handed_on_in_the_callback_that_hears_it(scene: Scene) -> None:
    await scene.listener.join(ME)

    for frame in (b"one", b"two"):
        scene.redis.hear(CHANNEL, frame)

    assert scene.frames == [(ME, b"one"), (ME, b"two")]


async def test_what_still_comes_while_an_address_is_left_is_answered(scene: Scene) -> None:
    await scene.listener.join(ME)
    scene.redis.open.clear()
    leaving = asyncio.create_task(scene.listener.leave(ME))
    await settle()

    scene.redis.hear(CHANNEL, b"late")
    again = await scene.listener.leave(ME)  # it is being left
    scene.redis.open.set()

    assert (again, await leaving) == ([], [b"late"])
    assert scene.frames == []
    assert await scene.listener.leave(ME) == []


async def test_a_frame_for_an_address_that_was_left_is_nobodys_here(scene: Scene) -> None:
    await scene.listener.join(ME)
    await scene.listener.leave(ME)

    scene.redis.hear(CHANNEL, b"late")
    scene.redis.hear(CHANNEL, b"")  # an echo that nobody waits for

    assert scene.frames == [(None, b"late")]


async def begin_to_catch_up(scene: Scene) -> None:
    """A frame was missed and is not collected yet, when another one comes."""
    await scene.listener.join(ME)
    scene.mail.append([b"missed"])
    scene.collected.clear()
    scene.redis.rejoin(CHANNEL)
    await settle()
    scene.redis.hear(CHANNEL, b"anew")


async def test_what_was_missed_comes_before_what_comes_anew(scene: Scene) -> None:
    await begin_to_catch_up(scene)
    assert scene.frames == []
    scene.collected.set()
    await settle()

    assert scene.frames == [(ME, b"missed"), (ME, b"anew")]
    scene.redis.hear(CHANNEL, b"later")
    assert scene.frames[-1] == (ME, b"later")


async def test_what_cannot_be_collected_is_asked_for_again(scene: Scene) -> None:
    await scene.listener.join(ME)
    scene.mail += [RedisUnavailable("Redis loads."), [b"missed"]]

    scene.redis.rejoin(CHANNEL)
    scene.redis.hear(CHANNEL, b"anew")
    async with asyncio.timeout(LIMIT):
        while (ME, b"missed") not in scene.frames:
            await settle()

    # Frames are not made to wait for a Redis that is away.
    assert scene.frames == [(ME, b"anew"), (ME, b"missed")]


async def test_an_address_that_is_left_meanwhile_has_what_was_collected_for_it(
    scene: Scene,
) -> None:
    await begin_to_catch_up(scene)

    leaving = asyncio.create_task(scene.listener.leave(ME))
    await settle()
    scene.collected.set()

    assert await leaving == [b"missed", b"anew"]
    assert scene.frames == []


async def test_what_is_not_joined_any_more_is_not_caught_up(scene: Scene) -> None:
    await scene.listener.join(ME)
    await scene.listener.leave(ME)
    scene.mail.append([b"anothers"])

    scene.redis.rejoin(CHANNEL)
    await settle()

    assert scene.mail == [[b"anothers"]]


async def test_a_redis_cluster_that_repeats_a_call_is_not_believed() -> None:
    scene = Scene(is_cluster=True)
    await scene.listener.join(ME)
    call = pack({"type": "method", "session": "s"}) + pack({})

    for name in (CHANNEL, CHANNEL, KEYS.channel("ann/left").encode()):
        scene.redis.hear(name, call)

    assert scene.frames == [(ME, call)]


async def test_mail_that_was_heard_after_all_is_not_handed_on_twice() -> None:
    scene = Scene(is_cluster=True)
    running = asyncio.create_task(scene.listener.run())
    await scene.listener.join(ME)
    scene.redis.hear(CHANNEL, b"heard")
    scene.mail.append([b"heard", b"missed"])

    scene.redis.rejoin(CHANNEL)
    await settle()

    assert scene.frames == [(ME, b"heard"), (ME, b"missed")]
    running.cancel()
    await asyncio.wait([running])


async def test_an_echo_comes_back_by_the_way_of_frames(scene: Scene) -> None:
    await scene.listener.join(ME)
    waiting = asyncio.create_task(scene.listener.echoed(ME))
    await settle()

    scene.redis.hear(CHANNEL, b"before")
    assert not waiting.done()
    scene.redis.hear(CHANNEL, b"")
    scene.redis.hear(CHANNEL, b"")  # another node's, perhaps

    await waiting
    assert scene.published == [CHANNEL]
    assert scene.frames == [(ME, b"before")]


async def test_an_echo_that_does_not_come_is_a_redis_that_is_away(scene: Scene) -> None:
    await scene.listener.join(ME)

    with pytest.raises(RedisUnavailable):
        await scene.listener.echoed(ME)


async def test_a_probe_measures_how_long_frames_take(scene: Scene) -> None:
    scene.listener.probe()
    scene.listener.probe()  # the first one is late, and counts
    scene.redis.hear(OWN, b"")
    scene.redis.hear(OWN, b"")

    assert scene.published == [OWN, OWN]
    assert sum(scene.listener.lags.counts) == 1


async def test_nothing_that_comes_through_is_doubted_and_silence_is(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.listener.probe()
    assert (scene.doubts, scene.redis.reconnected) == (0, 0)
    monkeypatch.setattr(module, "_PROBE_PATIENCE", -1.0)

    scene.listener.probe()

    assert (scene.doubts, scene.redis.reconnected) == (1, 1)


@pytest.mark.parametrize("what", ["excuse", "rejoin"])
async def test_a_silence_that_has_a_reason_is_none_of_redis(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(module, "_PROBE_PATIENCE", 3_600.0)
    scene.listener.last_probe = float("-inf")
    scene.listener._listening_since = float("-inf")

    if what == "excuse":
        scene.listener.excuse()
    else:
        scene.redis.rejoin(OWN)
    scene.listener.probe()

    assert scene.doubts == 0


async def test_a_node_that_is_deaf_hears_addresses_all_the_same(scene: Scene) -> None:
    await scene.listener.join(ME)

    await scene.listener.deafen()
    assert scene.redis.heard == {EVENTS, CHANNEL}
    await scene.listener.stop()
    assert scene.redis.heard == set()
