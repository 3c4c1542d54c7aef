"""A stream of events, with a server that does what the test says; and what is posted."""

import asyncio
import base64
from typing import Any

import pytest
from starlette.types import Message

from hypha_cluster.protocol.limits import POSTED_BYTES, POSTED_FRAMES, STREAM_EVENTS, TAILS
from hypha_cluster.protocol.room import Room
from hypha_cluster.relay.sockets import Verdict
from hypha_cluster.relay.tail import Tail
from hypha_cluster.supervision import Supervisor
from hypha_cluster.web.event_stream import Beginning, EventStream, Postbox
from hypha_cluster.web.sockets import ABNORMAL

KEY = "secret"


class Wire:
    """What comes, and what was sent; the network takes something when it `may_take`."""

    def __init__(self, seen: int | None = None) -> None:
        self.coming: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: list[Message] = []
        self.may_take = asyncio.Event()
        self.may_take.set()
        self.messages: list[bytes | str] = []
        self.endings: list[tuple[int, str]] = []
        self.verdicts: list[Verdict] = []
        scope = {"type": "http", "http_version": "1.1"}
        self.tail = Tail(seen, Room(TAILS))
        beginning = Beginning(KEY, 0.5, self.tail)
        self.stream = EventStream(beginning, scope, self.coming.get, self._send, Supervisor())

    async def _send(self, message: Message) -> None:
        await self.may_take.wait()
        self.sent.append(message)

    async def live(self) -> None:
        self.stream.start(self.messages.append, lambda: None)
        await self.stream.outlive(lambda code, reason: self.endings.append((code, reason)))

    def post(self, frame: bytes, key: str = KEY) -> None:
        self.stream.postbox.put(key, frame, self.verdicts.append)

    def written(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


def event(number: int, frame: bytes, token: bytes = b"token") -> bytes:
    return b"id: %b~%d\ndata: %b\n\n" % (token, number, base64.b64encode(frame))


async def settle() -> None:
    """Let everything happen that waits for nothing from outside."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
async def wire() -> Any:
    wire = Wire()
    wire.stream.identify("token")
    living = asyncio.create_task(wire.live())
    await settle()
    yield wire
    wire.stream.abort()
    await living


async def test_a_stream_begins_with_when_and_by_what_to_come_back(wire: Wire) -> None:
    start, first = wire.sent

    assert start["status"] == 200
    assert (b"content-type", b"text/event-stream") in start["headers"]
    assert (b"cache-control", b"no-store") in start["headers"]
    assert (b"connection", b"close") in start["headers"]
    assert first["body"] == b"retry: 500\n\nid: token~0\n\n"
    assert first["more_body"] is True


async def test_each_frame_is_an_event(wire: Wire) -> None:
    before = len(wire.written())

    wire.stream.send(b"\0\n\xff")
    wire.stream.send(b"two")
    await settle()

    assert wire.written()[before:] == event(1, b"\0\n\xff") + event(2, b"two")
    assert wire.stream.buffered == 0


async def test_a_large_frame_is_written_alone(wire: Wire) -> None:
    before = len(wire.sent)

    for frame in (b"small", bytes(STREAM_EVENTS), b"small"):
        wire.stream.send(frame)
    await settle()

    bodies = [message["body"] for message in wire.sent[before:]]
    assert bodies == [
        event(1, b"small"),
        event(2, bytes(STREAM_EVENTS)),
        event(3, b"small"),
    ]


async def test_small_frames_are_written_up_to_a_bound_that_counts_their_ids(wire: Wire) -> None:
    token = "t" * 500
    wire.stream.identify(token)
    await settle()
    before = len(wire.sent)

    for _ in range(1_000):
        wire.stream.send(b"x")
    await settle()

    bodies = [message["body"] for message in wire.sent[before:]]
    assert b"".join(bodies) == b"".join(event(n, b"x", token.encode()) for n in range(1, 1_001))
    assert max(map(len, bodies)) < 2 * STREAM_EVENTS
    assert wire.stream.buffered == 0


async def test_events_are_numbered_on_from_what_the_client_has_got() -> None:
    wire = Wire(seen=41)
    wire.stream.identify("token")
    living = asyncio.create_task(wire.live())

    wire.stream.send(b"frame")
    await settle()
    wire.stream.abort()
    await living

    assert wire.written().endswith(b"id: token~41\n\n" + event(42, b"frame"))
    assert wire.tail.take() == [(42, b"frame")]


async def test_a_new_token_comes_with_the_number_of_the_last_event(wire: Wire) -> None:
    wire.may_take.clear()
    wire.stream.send(b"one")
    await settle()
    wire.stream.send(b"two")
    wire.stream.identify("new")
    wire.may_take.set()
    await settle()

    news = b"id: new~1\n\n" + event(2, b"two", b"new")
    assert wire.written().endswith(event(1, b"one") + news)


async def test_what_the_network_has_not_taken_is_kept_and_what_comes_after_the_end(
    wire: Wire,
) -> None:
    wire.may_take.clear()

    for frame in (b"one", b"two"):
        wire.stream.send(frame)
    wire.stream.abort()
    wire.stream.send(b"three")

    assert wire.tail.take() == [(1, b"one"), (2, b"two"), (3, b"three")]


async def test_what_a_slow_reader_has_not_taken_is_counted(wire: Wire) -> None:
    wire.may_take.clear()

    wire.stream.send(b"12345")
    wire.stream.send(b"678")
    await settle()
    waiting = wire.stream.buffered
    wire.may_take.set()
    await settle()

    assert (waiting, wire.stream.buffered) == (8, 0)


async def test_a_ping_is_sent_if_nothing_else_is(wire: Wire) -> None:
    wire.stream.ping()
    await settle()
    assert wire.written().endswith(b": ping\n\n")

    wire.may_take.clear()
    wire.stream.send(b"first")
    await settle()
    wire.stream.send(b"second")
    before = len(wire.written())
    wire.stream.ping()
    wire.may_take.set()
    await settle()

    assert b"ping" not in wire.written()[before:]


async def test_a_close_ends_the_answer(wire: Wire) -> None:
    wire.stream.send(b"last")
    wire.stream.close(1012, "going away")
    wire.stream.send(b"too late")
    await settle()

    assert wire.written().endswith(event(1, b"last"))
    assert wire.sent[-1] == {"type": "http.response.body", "body": b""}
    assert wire.endings == [(ABNORMAL, "")]


async def test_it_is_over_when_the_client_goes(wire: Wire) -> None:
    wire.coming.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    await settle()
    assert wire.endings == []

    wire.coming.put_nowait({"type": "http.disconnect"})
    await settle()

    assert wire.endings == [(ABNORMAL, "")]
    wire.stream.send(b"nobody is there")
    assert wire.stream.buffered == 0


async def test_frames_are_routed_as_they_are_posted(wire: Wire) -> None:
    wire.post(b"one")
    wire.post(b"two")

    assert wire.messages == [b"one", b"two"]
    assert wire.verdicts == [Verdict.ROUTED, Verdict.ROUTED]


async def test_who_does_not_know_the_key_posts_nothing(wire: Wire) -> None:
    wire.post(b"evil", "guess")
    wire.post(b"evil", "é")

    assert wire.messages == []
    assert wire.verdicts == [Verdict.REFUSED, Verdict.REFUSED]


async def test_a_pause_has_posted_frames_wait_until_the_next_turn(wire: Wire) -> None:
    wire.stream.pause()
    wire.post(b"one")
    wire.post(b"two")
    wire.stream.resume()
    assert wire.messages == []  # who resumes has older ones in hand

    await settle()

    assert wire.messages == [b"one", b"two"]
    assert wire.verdicts == [Verdict.ROUTED, Verdict.ROUTED]


async def test_a_frame_may_have_those_behind_it_wait(wire: Wire) -> None:
    wire.stream.pause()
    for frame in (b"one", b"two"):
        wire.post(frame)

    def take(frame: bytes | str) -> None:
        wire.messages.append(frame)
        wire.stream.pause()

    wire.stream.postbox.open(take)
    wire.stream.resume()
    await settle()
    assert wire.messages == [b"one"]

    wire.stream.resume()
    await settle()

    assert wire.messages == [b"one", b"two"]


async def test_what_waits_when_it_is_over_may_be_posted_elsewhere(wire: Wire) -> None:
    wire.stream.pause()
    wire.post(b"one")
    wire.stream.abort()
    await settle()
    wire.post(b"two")

    assert wire.messages == []
    assert wire.verdicts == [Verdict.OVER, Verdict.OVER]


def put(postbox: Postbox, size: int) -> Verdict | None:
    verdicts: list[Verdict] = []
    postbox.put(KEY, bytes(size), verdicts.append)
    return verdicts[0] if verdicts else None


def test_what_waits_is_bounded() -> None:
    many, large = Postbox(KEY), Postbox(KEY)

    for _ in range(POSTED_FRAMES):
        assert put(many, 0) is None
    assert put(many, 0) is Verdict.BUSY
    assert put(large, POSTED_BYTES + 1) is None  # alone it may have any size
    assert put(large, 1) is Verdict.BUSY


@pytest.mark.parametrize(("many", "size"), [(POSTED_FRAMES + 1, 0), (3, POSTED_BYTES // 2)])
def test_what_the_mailbox_kept_has_its_room_already(many: int, size: int) -> None:
    """Whoever posted it was told that it is kept, and waits for no answer any more."""
    postbox, routed, verdicts = Postbox(KEY), list[bytes | str](), list[Verdict]()
    for _ in range(many):
        postbox.put(KEY, bytes(size), verdicts.append, is_kept=True)
    assert put(postbox, 1) is Verdict.BUSY

    postbox.open(routed.append)

    assert routed == [bytes(size)] * many
    assert verdicts == [Verdict.ROUTED] * many


async def test_what_the_mailbox_kept_is_routed_though_the_stream_ends_before(wire: Wire) -> None:
    wire.stream.pause()
    wire.stream.postbox.put(KEY, b"kept", wire.verdicts.append, is_kept=True)
    wire.post(b"posted")

    wire.stream.abort()
    await settle()

    assert wire.messages == [b"kept"]
    assert wire.verdicts == [Verdict.ROUTED, Verdict.OVER]
