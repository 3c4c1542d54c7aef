"""What is posted at one node, and routed by another."""

import asyncio

import pytest

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.relay import posts as module
from hypha_cluster.relay.bus import Receivers
from hypha_cluster.relay.events import Posted, read_posted
from hypha_cluster.relay.posts import Posts
from hypha_cluster.relay.sockets import Verdict
from tests.fakes import LIMITS, MemoryBus, MemoryListener, MemoryPublisher

ME = "ann/me"


class There:
    """The node that has the stream."""

    def __init__(self, bus: MemoryBus) -> None:
        self.posted: list[Posted] = []
        receivers = Receivers(self._take, self._ignore, self._ignore, self._no_mail)
        self.listener = MemoryListener(bus, "there", receivers)

    def _take(self, address: str | None, message: bytes) -> None:
        posted = read_posted(message)
        assert address == ME
        assert posted is not None
        self.posted.append(posted)

    def _ignore(self, message: bytes) -> None:
        raise AssertionError("nothing is for the node itself")

    async def _no_mail(self, address: str) -> list[bytes]:
        return []


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
def posts(bus: MemoryBus) -> Posts:
    return Posts("here", MemoryPublisher(bus))


@pytest.mark.parametrize("verdict", [Verdict.ROUTED, Verdict.REFUSED, Verdict.BUSY, Verdict.OVER])
async def test_who_posts_is_told_what_the_other_node_says(
    bus: MemoryBus, posts: Posts, verdict: Verdict
) -> None:
    there = There(bus)
    await there.listener.join(ME)

    sending = asyncio.create_task(posts.send(ME, "key", b"frame"))
    await asyncio.sleep(0)
    await bus.settled()
    (posted,) = there.posted
    assert (posted.key, posted.asker, posted.frame) == ("key", "here", b"frame")
    posts.take_answer("another", Verdict.BUSY)
    posts.take_answer(posted.number, "what a later release says")
    posts.take_answer(posted.number, verdict)
    posts.take_answer(posted.number, Verdict.ROUTED)

    assert await sending is verdict
    posts.take_answer(posted.number, Verdict.ROUTED)  # nobody waits any more


async def test_a_frame_for_a_suspended_client_is_kept(bus: MemoryBus, posts: Posts) -> None:
    bus.known.add(ME)

    assert await posts.send(ME, "key", b"frame") is Verdict.KEPT

    (mail,) = bus.mail[ME]
    posted = read_posted(mail)
    assert posted is not None
    assert posted.frame == b"frame"


async def test_a_full_mailbox_takes_no_more(bus: MemoryBus, posts: Posts) -> None:
    bus.known.add(ME)
    bus.limits = LIMITS._replace(mailbox_frames=0)
    posts = Posts("here", MemoryPublisher(bus))

    assert await posts.send(ME, "key", b"frame") is Verdict.BUSY


async def test_a_client_that_nobody_knows_has_no_stream(posts: Posts) -> None:
    assert await posts.send(ME, "key", b"frame") is Verdict.OVER


async def test_without_redis_nothing_is_sent(bus: MemoryBus, posts: Posts) -> None:
    bus.is_away = True

    with pytest.raises(RedisUnavailable):
        await posts.send(ME, "key", b"frame")


async def test_a_frame_that_nobody_answers_for_is_on_its_way(
    bus: MemoryBus, posts: Posts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POST_PATIENCE", 0.01)
    await There(bus).listener.join(ME)

    assert await posts.send(ME, "key", b"frame") is Verdict.KEPT
